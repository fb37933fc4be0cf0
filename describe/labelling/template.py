"""Prompt templates: installed ones by name, a user's own by path; checked before anyone is asked, rendered, hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from functools import lru_cache, partial
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

from jinja2 import StrictUndefined, TemplateSyntaxError, meta
from jinja2 import Template as JinjaTemplate
from jinja2.exceptions import TemplateError as JinjaError
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from describe.attention import Attended, Context, HeadAttention, TokenPair
from describe.errors import TemplateError
from describe.files import from_home
from describe.labelling.answer import UNCLEAR, Answer
from describe.labelling.gloss import glossed
from describe.labelling.looks import LOOKS, looks_of
from describe.records import ConstantPart, Evidence, HeadId, HeadMapping, MappingRow, Target
from describe.text import shown

__all__ = ["DEFAULT_PROMPT", "DESCRIBING", "Kind", "Template", "load_template", "shown_rows", "template_names"]

DEFAULT_PROMPT = "salient-2"
JUDGES, CARDS = "judge-", "card-"
"""How the names of templates for judges, and of those that word cards, begin."""

MODES = ("chat", "completion")
"""Values of a template's ``mode``: asked as a chat, which is the default, or as a text to be gone on with."""

AnswerForm = Literal["pattern", "groups", "looks"]

ANSWERS: tuple[AnswerForm, ...] = get_args(AnswerForm)
"""Values of a template's ``answer``: two sentences; before them the kind of head and groups of lines; or groups alone,
of lines that show where it looks."""

ECHO = 0.85
"""The share of letters in common from which on two answers say the same."""


_OF_LOOPS = frozenset({"first", "last", "index", "index0"})
_OF_DICTS = frozenset(dir(dict))


class _Sandbox(ImmutableSandboxedEnvironment):
    """A sandbox that asks no questions about what templates ask for most: a loop's place, and fields of a row."""

    def getattr(self, obj: object, attribute: str) -> object:
        """The attribute or item of that name, as the sandbox gives it."""
        if type(obj) is dict and attribute in obj and attribute not in _OF_DICTS:
            return obj[attribute]
        if type(obj) is LoopContext and attribute in _OF_LOOPS:
            return getattr(obj, attribute)
        return super().getattr(obj, attribute)


_ENVIRONMENT = _Sandbox(undefined=StrictUndefined, keep_trailing_newline=False, autoescape=False)


@dataclass(frozen=True)
class Kind:
    """The kind of question that templates are for.

    Attributes:
        fields: what a template may use.
        shown: fields of which it uses one at least: without, every head would be asked the same.
        sample: the fields of some head, to try a template on.
        prefix: how the names of installed ones begin; empty: as none of the other kinds.
    """

    fields: Mapping[str, str]
    shown: frozenset[str]
    sample: Mapping[str, Any]
    prefix: str = JUDGES


@dataclass(frozen=True)
class Template:
    """A prompt template by name; ``text`` is what is hashed and stored with every description.

    Attributes:
        uses: the fields it uses, of those that its `Kind` offers.
        answer: the form of the answer, one of `ANSWERS`.
        completion: sent as a text to be gone on with, for base models and small ones, not as a chat.
        examples: what it gives as examples of inputs and patterns; an LLM that repeats one has not answered.
    """

    name: str
    text: str
    uses: frozenset[str] = frozenset({"rows"})
    completion: bool = False
    answer: AnswerForm = ANSWERS[0]
    examples: frozenset[str] = frozenset()

    @property
    def hash(self) -> str:
        """SHA-256 of the text."""
        return text_hash(self.text)

    def render(self, mapping: HeadMapping) -> str:
        """The prompt for one head. Raises `TemplateError` when the template asks for what a head does not have."""
        if "suppressed" in self.uses and not all(row.suppressed for row in mapping.salient):
            raise TemplateError(
                f"prompt template '{self.name}' shows what heads push down, and an older headscribe did not keep that"
                f" of {mapping.id}: run headscribe extract again"
            )
        return self.fill({field: _FIELDS[field](mapping) for field in self.uses})

    def fill(self, fields: Mapping[str, Any]) -> str:
        """The prompt with these fields. Raises `TemplateError` when it cannot be rendered."""
        return str(_module(self.name, self.text, fields)).strip("\n")

    def echoed(self, answer: Answer) -> str | None:
        """The part of an answer that repeats an example, to the letter or nearly so; None when neither does."""
        parts = (part for part in (answer.inputs, answer.pattern) if part != UNCLEAR)
        return next((part for part in parts if any(_alike(part, example) for example in self.examples)), None)


def load_template(name: str = DEFAULT_PROMPT, kind: Kind | None = None) -> Template:
    """An installed template by name, or a file whose path has a ``/`` or ends with ``.jinja``.

    ``kind``: what it is for; `DESCRIBING` a head by default. Raises `TemplateError` when it is not there, malformed,
    uses unknown fields, or would ask the same of every head.
    """
    kind = kind or DESCRIBING
    text = _read(name, kind.prefix)
    shown = Path(name).name.removesuffix(".jinja")
    known = "; ".join(f"{field} ({what})" for field, what in kind.fields.items())
    try:
        uses = meta.find_undeclared_variables(_ENVIRONMENT.parse(text))
    except TemplateSyntaxError as error:
        raise TemplateError(f"prompt template '{name}', line {error.lineno}: {error.message}") from error
    unknown = uses - set(kind.fields)
    if unknown:
        raise TemplateError(f"prompt template '{name}' uses the unknown field '{min(unknown)}'; there are: {known}")
    if not uses & kind.shown:
        raise TemplateError(f"prompt template '{name}' shows nothing of a head; use one of: {known}")
    module = _module(name, text, kind.sample)
    mode, examples = getattr(module, "mode", MODES[0]), getattr(module, "examples", [])
    answer = getattr(module, "answer", ANSWERS[0])
    if answer not in ANSWERS or (mode == MODES[1] and answer != ANSWERS[0]):
        raise TemplateError(
            f"prompt template '{name}' sets the answer '{answer}'; there are, in chats: {', '.join(ANSWERS)}"
        )
    if mode not in MODES:
        raise TemplateError(f"prompt template '{name}' sets the mode '{mode}'; there are: {', '.join(MODES)}")
    if not isinstance(examples, list) or not all(
        isinstance(e, dict) and {"inputs", "pattern"} <= set(e) for e in examples
    ):
        raise TemplateError(f"prompt template '{name}': each of its examples needs 'inputs' and 'pattern'")
    answers = frozenset(str(example[side]) for example in examples for side in ("inputs", "pattern")) - {UNCLEAR}
    return Template(shown, text, frozenset(uses), mode == MODES[1], answer, answers)


def template_names() -> list[str]:
    """The names of the templates installed that ask what a head does."""
    return [name for name in _installed() if _prefix(name) == DESCRIBING.prefix]


def shown_rows(rows: Iterable[tuple[str, Iterable[str]]]) -> list[dict[str, Any]]:
    """Rows, each a source and its targets, as templates get them: tokens in quotes."""
    return [{"source": shown(source), "targets": [shown(target) for target in targets]} for source, targets in rows]


def text_hash(text: str) -> str:
    """SHA-256 of a text, as stored beside what was made with it."""
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def _installed() -> list[str]:
    files = resources.files("prompts").iterdir()
    return sorted(file.name.removesuffix(".jinja") for file in files if file.name.endswith(".jinja"))


def _prefix(name: str) -> str:
    """The `Kind.prefix` that an installed template's name has."""
    return next((prefix for prefix in (JUDGES, CARDS) if name.startswith(prefix)), "")


def _read(name: str, prefix: str) -> str:
    if "/" not in name and not name.endswith(".jinja"):
        known = _installed()
        if name not in known:
            alike = ", ".join(other for other in known if _prefix(other) == prefix)
            raise TemplateError(
                f"there is no prompt template '{name}'; there are: {alike}, or the path of a .jinja file"
            )
        return (resources.files("prompts") / f"{name}.jinja").read_text(encoding="utf-8")
    try:
        return from_home(name).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise TemplateError(f"the prompt template '{name}' cannot be read: {reason}") from error


_FIELDS: dict[str, Callable[[HeadMapping], Any]] = {
    "rows": lambda mapping: shown_rows((row.token, [t.token for t in row.targets]) for row in mapping.salient),
    "suppressed": lambda mapping: shown_rows((row.token, [t.token for t in row.suppressed]) for row in mapping.salient),
    "lines": lambda mapping: _lines(mapping.salient),
    "constant": lambda mapping: _constant(mapping.constant),
    "n_targets": lambda mapping: max((len(row.targets) for row in mapping.salient), default=0),
    "evidence": lambda mapping: [asdict(found) for found in mapping.evidence],
    **{field: partial(looks_of, field=field) for field in LOOKS},
}
"""Fields of a template that asks for a head's description."""


def _lines(rows: Iterable[MappingRow]) -> list[dict[str, Any]]:
    """Rows with strengths: of a row relative to the strongest row, of a target relative to the row's strongest. Pieces
    of words are followed by a word that they begin."""
    known = list(rows)
    most = max((row.saliency for row in known), default=0.0)
    return [
        {
            "source": glossed(row.token),
            "variants": [shown(token) for token in row.variants],
            "strength": _per_cent(row.saliency, most),
            "targets": [
                {"token": glossed(t.token), "strength": _per_cent(t.logit, row.targets[0].logit)} for t in row.targets
            ],
        }
        for row in known
    ]


def _constant(part: ConstantPart | None) -> dict[str, Any] | None:
    """The constant part as templates get it."""
    if part is None:
        return None
    return {"tokens": [shown(target.token) for target in part.promoted], "share": round(100 * part.share)}


def _per_cent(value: float, most: float) -> int:
    return round(100 * value / most) if most > 0 else 0


def _module(name: str, text: str, fields: Mapping[str, Any]) -> Any:
    """The template rendered with these fields: the prompt as ``str``, what it sets as attributes."""
    try:
        return _compiled(text).make_module(dict(fields))
    except (JinjaError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise TemplateError(f"prompt template '{name}' cannot be rendered: {error}") from error


@lru_cache(maxsize=16)
def _compiled(text: str) -> JinjaTemplate:
    return _ENVIRONMENT.from_string(text)


def _alike(one: str, other: str) -> bool:
    return SequenceMatcher(None, one.casefold(), other.casefold()).ratio() >= ECHO


_SAMPLE = HeadMapping(
    HeadId(0, 0),
    (MappingRow(0, " a", 2.0, (Target(1, " b", 1.0),), (Target(2, " c", -1.0),)),),
    (Evidence("name", "inputs", "wording", 1, 1, 0.1, 1.0, 0.01, 0.01, ('" a"',)),),
    attention=HeadAttention(
        *(0, 0, ("local",), (("local",), ("local",)), {}, (TokenPair(" a", " b", 1, 0.5, 0.5),)),
        *((Context(0, (" b", " a"), None, 1, (Attended(0, 0.5),), "prose"),), ()),
    ),
)
DESCRIBING = Kind(
    fields={
        "rows": "a head's salient mappings: each with `source` and `targets`, tokens in quotes",
        "suppressed": "the same with the tokens pushed down the most as `targets`",
        "lines": "the rows once more, with strengths: each with `source`, `variants`, `strength` and `targets`, which"
        " have `token` and `strength`; per cent of the strongest row, and of the row's strongest target; behind"
        " pieces of words a word that they begin",
        "constant": "what the head promotes whatever it reads: `tokens` and `share` (per cent of what it writes); none"
        " where the reading has no such part",
        "n_targets": "the number of targets of a row",
        "kinds": "kinds of head that it is by where it looks: each with `name` and `says`",
        "pairs": "pairs of tokens that it connects on text: each with `source`, `target` and `count`",
        "contexts": "places of a text from which it looks: each with `text` and `attention`",
        "evidence": "what is above chance: each with `kind`, `wording`, `count`, `rows`, `expected`, `examples`",
    },
    shown=frozenset({"rows", "lines", "suppressed", "evidence", "pairs", "contexts"}),
    sample={field: shown(_SAMPLE) for field, shown in _FIELDS.items()},
    prefix="",
)
"""Templates that ask what a head does."""

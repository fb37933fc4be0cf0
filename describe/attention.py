"""Where a head looks: the figures that say so, and the kinds of heads that follow from them.

`FIGURES` and `KINDS` are the two tables; a new figure or kind is a row. A figure is a mean over the positions of a
document, then over documents. All but ``distance`` and ``entropy`` are shares of a head's attention, 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "FIGURES",
    "FIRST_PLACE",
    "FITS",
    "KINDS",
    "LOCAL",
    "MAPPED",
    "MEANINGS",
    "SAYS",
    "TEXTS",
    "Attended",
    "Context",
    "Figure",
    "Figures",
    "HeadAttention",
    "Kind",
    "Spread",
    "TextName",
    "TokenClass",
    "TokenPair",
    "kinds",
    "strength",
]

LOCAL = 8
"""Tokens of the local window, the token itself among them."""

FIRST_PLACE = LOCAL
"""Positions before this one are not looked at: all that they can attend to is near and few."""

TextName = Literal["text", "shuffled", "random"]
TEXTS: tuple[TextName, ...] = ("text", "shuffled", "random")
"""Where a head was seen: on text, on the same tokens in random order, and on random tokens that come twice."""

Figures = Mapping[str, float | None]
"""A value of each of `FIGURES`; None where no position had what it asks for."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of where a head looks.

    Attributes:
        meaning: attention to what; or, of figures that are no attention to anything, the whole of it.
        where: the mean is over all positions, or over those that have such a token before them.
    """

    name: str
    meaning: str
    where: Literal["all", "where there is one"] = "all"


FIGURES = (
    Figure("first", "the first token"),
    Figure("itself", "the token itself"),
    Figure("previous", "the previous token"),
    Figure("before_previous", "the token before the previous one"),
    Figure("duplicate", "the same token earlier", "where there is one"),
    Figure("induction", "the token after the same token earlier", "where there is one"),
    Figure("same_next", "the token after the same token earlier, where it does come next", "where there is one"),
    Figure("punctuation", "punctuation"),
    Figure("line_break", "line breaks"),
    Figure("local", f"the last {LOCAL} tokens, itself among them"),
    Figure("nowhere", "no token: what a learnt sink takes"),
    Figure("placed", "of its squared attention, the first token left out, the share that distance alone explains"),
    Figure("distance", "mean distance of what it attends to, in tokens"),
    Figure("entropy", "mean entropy of its attention, in nats"),
)
"""Every figure, in the order in which figures are stored and shown. The first token counts as ``first``, and as
``previous`` and the like where it is that; as none of what depends on what the token is."""


MEANINGS = {figure.name: figure.meaning for figure in FIGURES}

MAPPED = ("first", "itself", "previous", "duplicate", "induction", "punctuation", "line_break", "local")
"""Figures that a map of heads can be coloured by."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of head, by where it looks.

    Attributes:
        says: what such a head does.
        figures: whose sum on ``text`` must reach ``least``, or with ``below`` stay under it.
        of: what the sum is a share of: all attention; the rest that does not go to the first token or nowhere, which
            must be `REST` at least; or what a head gets that attends to all tokens alike.
        over: the sum must also be so many times that of a head that attends to all tokens alike.
        unless: the kind is not told beside these, which say it more precisely.
        source: where the field has the kind and the threshold from.
    """

    name: str
    says: str
    figures: tuple[str, ...]
    text: TextName
    least: float
    source: str
    of: Literal["all", "rest", "uniform"] = "all"
    below: bool = False
    over: float = 2.0
    unless: tuple[str, ...] = ()


REST = 0.1
"""The least attention that must be left beside the first token for anything to be said of it."""

MOST_KINDS = 2

_HALF = "threshold: more than half, as Clark et al. 2019, What Does BERT Look At?"
_ARENA = "threshold: ARENA, Intro to Mechanistic Interpretability"

KINDS = (
    Kind(
        "induction",
        "attends to the token after an earlier copy of the present one",
        ("induction",),
        "random",
        0.4,
        "Olsson et al. 2022, In-context Learning and Induction Heads: prefix matching on random tokens that come twice;"
        f" {_ARENA}",
    ),
    Kind(
        "duplicate-token",
        "attends to earlier copies of the present token",
        ("duplicate",),
        "random",
        0.4,
        f"Wang et al. 2023, Interpretability in the Wild; {_ARENA}",
    ),
    Kind(
        "previous-token",
        "attends to the token before",
        ("previous",),
        "text",
        0.5,
        f"Elhage et al. 2021, A Mathematical Framework for Transformer Circuits; {_HALF}",
        of="rest",
    ),
    Kind(
        "first-token sink",
        "parks its attention on the first token",
        ("first", "nowhere"),
        "text",
        0.5,
        f"Xiao et al. 2024, Efficient Streaming Language Models with Attention Sinks; {_HALF}",
    ),
    Kind(
        "delimiter",
        "attends to punctuation and line breaks",
        ("punctuation", "line_break"),
        "text",
        0.5,
        f"Clark et al. 2019; {_HALF}",
        of="rest",
    ),
    Kind(
        "local",
        f"attends to the last {LOCAL} tokens",
        ("local",),
        "text",
        0.75,
        "positional heads, Voita et al. 2019, Analyzing Multi-Head Self-Attention; window and threshold: ours",
        of="rest",
        over=4.0,
        unless=("previous-token",),
    ),
    Kind(
        "broad",
        "spreads its attention over most of the tokens so far",
        ("entropy",),
        "text",
        0.75,
        "Clark et al. 2019: heads of high entropy attend broadly; threshold: ours",
        of="uniform",
        over=0.0,
    ),
    Kind(
        "content",
        "chooses tokens by what they are, wherever they stand",
        ("placed",),
        "text",
        0.25,
        "content-based against positional heads, Voita et al. 2019; the figure and its threshold: ours",
        below=True,
        over=0.0,
        unless=("induction", "duplicate-token", "previous-token", "delimiter", "local", "broad"),
    ),
)
"""Kinds, in the order in which they are looked for and told."""

SAYS = {kind.name: kind.says for kind in KINDS}


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over the documents of one text.

    Attributes:
        mean, sd: over the documents that have it; None where none, or only one, has it.
        uniform: of a head that attends to all tokens so far alike, on the same documents.
    """

    mean: float | None
    sd: float | None
    uniform: float | None


@dataclass(frozen=True, slots=True)
class TokenPair:
    """A token from which a head looks, and one that it looks at.

    Attributes:
        count: how many of its strongest looks are such a pair.
        attention: the mean attention of these.
        strength: their attention times the length of what is written for it, summed, as a share of that of all.
    """

    source: str
    target: str
    count: int
    attention: float
    strength: float


@dataclass(frozen=True, slots=True)
class TokenClass:
    """A class of tokens on one side of a head's strongest looks, more often than the text has it.

    Attributes:
        side: whether the head looks from such tokens, or at them.
        name: a machine word; ``words``: what the tokens are called.
        count, looks: how many of so many looks.
        expected: the share of the text's tokens that are such.
        effect: Cohen's h; ``q_value``: after Benjamini and Hochberg, over all classes, sides and heads of the model.
    """

    side: Literal["from", "at"]
    name: str
    words: str
    count: int
    looks: int
    expected: float
    effect: float
    q_value: float


@dataclass(frozen=True, slots=True)
class Attended:
    """A token of a context at which the head looks: which of its tokens, and how much of the attention goes there."""

    place: int
    attention: float


@dataclass(frozen=True, slots=True)
class Context:
    """A place of a text from which a head looks, with some of the text around it and what it looks at.

    Attributes:
        tenth: by strength among places drawn at random, from 1, the weakest; 0: one of the strongest of all.
        tokens: in order, at most two stretches of the text; ``cut`` is where the second begins, None where it is one.
        query: which of the tokens the head looks from; ``attended``: at which, and how much, the strongest first.
        text: of what kind of text, where that is known.
    """

    tenth: int
    tokens: tuple[str, ...]
    cut: int | None
    query: int
    attended: tuple[Attended, ...]
    text: str


@dataclass(frozen=True, slots=True)
class HeadAttention:
    """Where one head looks.

    Attributes:
        kinds: as `kinds` has them; ``halves``: the same of every other document, and of the others.
        figures: by text and figure.
        pairs: the strongest first; ``contexts``: the strongest, then one of each tenth.
        held_out: strong contexts of other documents, which no describer sees.
        classes: of tokens from which it looks, and at which, beyond the text's own frequencies.
    """

    layer: int
    head: int
    kinds: tuple[str, ...]
    halves: tuple[tuple[str, ...], tuple[str, ...]]
    figures: dict[str, dict[str, Spread]]
    pairs: tuple[TokenPair, ...]
    contexts: tuple[Context, ...]
    held_out: tuple[Context, ...]
    classes: tuple[TokenClass, ...] = ()


def _before(context: Context, place: int) -> str | None:
    """The token before one of a context; None where it is not shown."""
    return context.tokens[place - 1] if place > 0 and place != context.cut else None


def _apart(context: Context, place: int) -> int | None:
    """How many tokens before the query one stands; None where some of the text between is left out."""
    return None if context.cut is not None and place < context.cut else context.query - place


def _is_delimiter(token: str) -> bool:
    return "\n" in token or (bool(token.strip()) and not any(char.isalnum() for char in token))


FITS: dict[str, Callable[[Context, int], bool]] = {
    "induction": lambda context, place: _before(context, place) == context.tokens[context.query],
    "duplicate-token": lambda context, place: (
        place < context.query and context.tokens[place] == context.tokens[context.query]
    ),
    "previous-token": lambda context, place: _apart(context, place) == 1,
    "delimiter": lambda context, place: _is_delimiter(context.tokens[place]),
    "local": lambda context, place: (_apart(context, place) or 0) < LOCAL and _apart(context, place) is not None,
}
"""Of the kinds that say at which token of a context a head looks: whether it is the one at a place."""


def strength(kind: Kind, figures: Mapping[TextName, Figures]) -> float | None:
    """The sum that a kind is told by, as it stands in a head's figures."""
    return _sum(kind, figures[kind.text]) if kind.text in figures else None


def kinds(figures: Mapping[TextName, Figures], uniform: Mapping[TextName, Figures]) -> tuple[str, ...]:
    """The kinds of a head, by its figures on each text, at most `MOST_KINDS`; none is an answer.

    ``uniform``: the figures of a head that attends to all tokens so far alike.
    """
    found: list[str] = []
    for kind in KINDS:
        if kind.text in figures and not set(kind.unless) & set(found) and _is(kind, figures, uniform):
            found.append(kind.name)
    return tuple(found[:MOST_KINDS])


def _is(kind: Kind, figures: Mapping[TextName, Figures], uniform: Mapping[TextName, Figures]) -> bool:
    total, alike = _sum(kind, figures[kind.text]), _sum(kind, uniform[kind.text])
    if total is None or alike is None:
        return False
    rest = 1 - sum(figures[kind.text][name] or 0.0 for name in ("first", "nowhere"))
    if rest < REST and (kind.of == "rest" or kind.below):
        return False
    whole = {"all": 1.0, "rest": rest, "uniform": alike}[kind.of]
    share = total / whole if whole > 0 else 0.0
    return share < kind.least if kind.below else share >= kind.least and share >= kind.over * alike


def _sum(kind: Kind, figures: Figures) -> float | None:
    values = [figures[name] for name in kind.figures]
    return None if None in values else sum(value for value in values if value is not None)

"""Synthetic catalogs for the tests of the HTML page, in the JSON form of one head, and the page of them."""

import random
from collections.abc import Iterable
from typing import Any

from describe.export.html import render_page
from describe.head_record import HeadRecord, HeldOut
from describe.mappings import MappingRow, Target
from describe.records import ModelInfo

WORDS = [
    " the",
    " a",
    " of",
    "ing",
    "ed",
    "tion",
    " London",
    " Paris",
    " Berlin",
    " Tokyo",
    " cat",
    " dog",
    " horse",
    " horses",
    " run",
    " running",
    " ran",
    "Monday",
    " Tuesday",
    " January",
    " February",
    "2021",
    "1999",
    " seven",
    " eight",
    "def",
    " return",
    "self",
    "():",
    "->",
    "{",
    "}",
    "\n",
    "\n\n",
    "\t",
    " \n",
    "    ",
    " and",
    " or",
    " not",
    " was",
    " were",
    " king",
    " queen",
    " England",
    " France",
    " Germany",
    "ль",
    " и",
    " не",
    "的",
    "中国",
    "日本",
    "é",
    "ü",
    " über",
    "ß",
    "\u200b",
    "�",
    "'s",
    "n't",
    " however",
    " because",
    " Therefore",
    "Mr",
    " President",
    " minister",
    "https",
    "://",
    "www",
    ".com",
    " import",
    "numpy",
    "🙂",
    " العربية",
    "שלום",
]
PATTERNS = (
    (
        "Names of cities and countries.",
        "Promotes the language, the demonym or the capital that belongs to the place, such as France to French.",
    ),
    ("Verbs in the past tense.", "Raises the same verb in its other inflections."),
    (
        "First tokens of dates and years.",
        "Predicts the continuation of a date: the next month, day or year.",
    ),
    (
        "Opening brackets and quotation marks in code.",
        "Raises the closing bracket that matches, ignoring the text in between.",
    ),
    ("Common function words.", "Copies the token itself, with and without its leading space."),
)
OPERATIONS = ("copying", "inflection", "country to capital")


def model(n_layers: int, n_heads: int, n_kv_heads: int) -> dict[str, Any]:
    """The model of a catalog with this grid."""
    return {
        "name": "SmolLM2-135M", "family": "llama", "n_layers": n_layers, "n_heads": n_heads,
        "n_kv_heads": n_kv_heads, "d_model": 576, "d_head": 64, "vocab_size": 49152,
        "content_hash": "sha256:9c1f0e6b7a3d5528d1e4",
    }  # fmt: skip


def description(pick: random.Random, llm: str) -> dict[str, Any]:
    """A description, an abstention or, now and then, a failure."""
    inputs, pattern = pick.choice(PATTERNS)
    made: dict[str, Any] = {
        "llm": llm, "prompt": "default-v2", "role": None, "inputs": inputs, "pattern": pattern, "unclear": False,
        "reasoning": "The sources share a theme.\nThe outputs follow it in most of the rows.",
        "failure": None, "scores": {"detection": {"statistics": score(pick.random())}} if llm == "scored" else {},
        "provenance": {"described": "2025-06-01T10:00:00Z"},
    }  # fmt: skip
    kind = pick.random()
    if kind < 0.15:
        made |= {"inputs": None, "pattern": None, "unclear": True}
    elif kind < 0.2:
        made |= {
            "inputs": None,
            "pattern": None,
            "reasoning": None,
            "failure": "The answer had no JSON object (tried 3 times)",
        }
    return made


def score(value: float | None, failure: str | None = None) -> dict[str, Any]:
    """A score by one judge."""
    low, high = (None, None) if value is None else (value - 0.1, value + 0.1)
    known = {"value": value, "low": low, "high": high, "placebo": 0.5, "n": 20, "failure": failure, "detail": failure}
    return known | {"provenance": {"scored": "2025-06-01T10:00:00Z"}}


def head(layer: int, number: int, pick: random.Random, vocabulary: list[str], llms: tuple[str, ...]) -> dict[str, Any]:
    """One head: 30 rows of 5 targets, which for some heads all begin with the same token."""

    def token() -> dict[str, Any]:
        token_id = pick.randrange(len(vocabulary))
        return {"token_id": token_id, "token": vocabulary[token_id]}

    peak = pick.lognormvariate(1.5, 0.5)
    concentrated = pick.random() < 0.3
    best = token()
    salient = []
    for rank in range(30):
        top = 2 + pick.random() * 6
        targets = [token() | {"logit": top - step * 0.3} for step in range(5)]
        if concentrated:
            targets[0] |= best
        low = [(rank * 5 + step) % len(vocabulary) for step in range(5)] if number == 0 else []
        down = [{"token_id": t, "token": vocabulary[t], "logit": -top + 0.3 * i} for i, t in enumerate(low)]
        salient.append(token() | {"saliency": peak * 0.94**rank, "targets": targets, "suppressed": down})
    relations = {name: {"score": pick.random() ** 4, "suppression": pick.random() ** 6} for name in OPERATIONS}
    checked = {"of_source": 0.75, "in_context": 0.125} if number == 0 else None
    if checked:
        relations["copying"] |= {"inference": {kind: {"score": s, "suppression": 0.0} for kind, s in checked.items()}}
    return {
        "model": "SmolLM2-135M", "layer": layer, "head": number, "salient": salient,
        "descriptions": [description(pick, llm) for llm in llms],
        "roles": [role(1, list(range(20))), role(2, list(range(20, 30)))] if concentrated else [],
        "relations": relations,
        "inference": checked,
        "evidence": [evidence("plural nouns", ["cats", "dogs"])] if concentrated else [],
        "provenance": {
            "family": "llama",
            "shape": {
                "n_layers": 30, "n_heads": 9, "n_kv_heads": 3, "d_model": 576, "d_head": 64, "vocab_size": 49_152,
            },
            "extraction": {"salient_tokens": 30, "targets": 5, "fold_norm": True},
            "versions": {"headscribe": "0.1.0", "torch": "2.6.0"},
            "extracted": f"2025-06-01T10:{layer % 60:02}:{number % 60:02}Z",
        },
    }  # fmt: skip


def evidence(wording: str, examples: list[str]) -> dict[str, Any]:
    """One piece of evidence."""
    return {
        "name": "plural_noun", "kind": "inputs", "wording": wording, "count": 27, "rows": 30, "expected": 0.09,
        "effect": 1.9, "p_value": 1e-20, "q_value": 1e-17, "examples": examples,
    }  # fmt: skip


def role(number: int, rows: list[int], *found: dict[str, Any]) -> dict[str, Any]:
    """One role of a head."""
    return {"role": number, "sign": "promotes", "rows": rows, "share": len(rows) / 30, "evidence": list(found)}


def heads(
    n_layers: int,
    n_heads: int,
    *,
    llms: tuple[str, ...] = ("Qwen2.5-7B-Instruct", "gpt-oss-20b"),
    vocabulary: list[str] = WORDS,
    missing: frozenset[tuple[int, int]] = frozenset(),
) -> list[dict[str, Any]]:
    """All heads of a grid, the same at every call."""
    pick = random.Random(0)
    return [
        head(layer, number, pick, vocabulary, llms)
        for layer in range(n_layers) for number in range(n_heads) if (layer, number) not in missing
    ]  # fmt: skip


ATTACKS = [
    "<script>alert(1)</script>", "</script><img src=x onerror=alert(2)>", "<!--<script>", "]]>",
    "-->", "<img src=x onerror=alert(3)>", "javascript:alert(4)", "{{ 7 * 7 }}", "{% raw %}",
    "$x^2$", "**bold**", "\u202eevil", "a\u200bb", "\x00\x1b[31m", "=1+1", "&lt;b&gt;",
    "\u2028\u2029", "\ud800", "\ufeff", "\x85", "'\"`", "\\u0041", "\r\n", "%s", "__proto__",
    "constructor", "", "x" * 10_000,
]  # fmt: skip


def attack_heads() -> list[dict[str, Any]]:
    """Heads 0.0 and 0.1: every text anywhere is an attack, and every attack is a source token."""
    made = heads(1, 2, vocabulary=ATTACKS, llms=())
    for one in made:
        template = one["salient"][0]
        one["salient"] = [template | {"token_id": i, "token": text} for i, text in enumerate(ATTACKS)]
        one["descriptions"] = [
            {
                "llm": text, "prompt": text, "role": None, "inputs": text, "pattern": text, "unclear": False,
                "reasoning": text, "failure": None,
                "scores": {"detection": {text: score(0.5)}, "likelihood": {text: score(None, text)}},
                "provenance": {"described": f"2025-06-01T10:{59 - place}:00Z"},
            } for place, text in enumerate(ATTACKS)
        ] + [
            {
                "llm": "a", "prompt": "b", "role": 2, "inputs": None, "pattern": None, "unclear": False,
                "reasoning": None, "failure": text, "scores": {}, "provenance": {"described": ""},
            } for text in ATTACKS
        ]  # fmt: skip
        one["relations"] = {text: {"score": 0.5, "suppression": float("nan")} for text in ATTACKS}
        one["roles"] = [role(number, [number], evidence(text, [text])) for number, text in enumerate(ATTACKS)]
        one["evidence"] = [evidence(text, [text, text]) for text in ATTACKS]
        one["provenance"]["extraction"] = {text: {text: [text, float("inf"), None]} for text in ATTACKS}
    return made


def attack_model() -> dict[str, Any]:
    """A model whose texts are attacks too."""
    text = "</title><script>alert(5)</script>\u202e\x00"
    return model(1, 2, 1) | {"name": text, "family": text, "content_hash": text}


def render(model: dict[str, Any], heads: Iterable[dict[str, Any]]) -> str:
    """The page of heads, whatever their values are."""
    return render_page(ModelInfo(**model), map(_record, heads), generated="2025-06-01", version="0.1.0")


def _record(head: dict[str, Any]) -> HeadRecord:
    rows = tuple(
        MappingRow(**row | {way: tuple(Target(**target) for target in row[way]) for way in ("targets", "suppressed")})
        for row in head["salient"]
    )
    return HeadRecord.of(**head | {"salient": rows}, held_out=HeldOut.of(next=(), sample=()))

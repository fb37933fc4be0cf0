"""The map of a model: every head at a glance, the figures that it can be coloured by, and the head to begin with."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypedDict

from describe.attention import MAPPED, MEANINGS, SAYS
from describe.figures import PARTS
from describe.head_record import STATE_WORDS, STATES, HeadSummary
from describe.kinds import CARD_KINDS
from describe.measures import VERDICTS
from describe.records import THRESHOLD, ModelInfo

__all__ = ["LONGEST", "Operation", "OperationFigures", "Overview", "number", "operation_figures", "overview"]

LONGEST = 300
"""Characters of a description that the map and lists of heads show."""

FACTS = (
    ("Highest saliency", "Saliency of the head's most salient token: how strongly the head acts on it"),
    ("Mean top logit", "Mean over the rows of the highest target's logit"),
    ("Distinct outputs", "Distinct highest targets per row: low where outputs are concentrated"),
)
"""Figures of a head's rows, which stand beside its name, with what they are."""

MEASURE_NOTES = {
    "write": "How well the weights bear out what a judge writes by the description (AUROC, 0.5: by chance)",
    "detection": (
        "How well a judge tells rows of the head that nobody has seen from others' by the description"
        " (AUROC, 0.5: by chance)"
    ),
    "relation": "How well a judge tells by the description which targets belong to which input (AUROC, 0.5: by chance)",
    "masked": "Detection without the tokens that the description names (AUROC, 0.5: by chance)",
    "inputs": "Detection by what is said of the inputs alone (AUROC, 0.5: by chance)",
    "likelihood": "Bits that the description saves of each row that nobody has seen",
    "attention": (
        "How often a judge names the token that the head looks at, of five, by the description (0.2: by chance)"
    ),
    "stability": "How far descriptions made again agree",
}
"""Scores in a sentence, for those who meet them on a page."""


class Figure(TypedDict):
    """A figure of all heads. ``values``: of each head in order; of one in ``words`` the number of the word.

    Where a head has none, ``lacking`` says why; of a figure ``of_descriptions`` the state of the head does so first.
    """

    label: str
    note: str
    lacking: str
    of_descriptions: bool
    linear: bool
    words: list[str]
    values: list[float | None]


class Glance(TypedDict):
    """A head on the map, and in lists."""

    layer: int
    head: int
    state: str
    said: str
    pattern: str
    kind: str
    describers: list[int]


class Overview(TypedDict):
    """All that a page needs before it shows a head."""

    model: dict[str, int | str]
    threshold: float
    states: dict[str, str]
    measures: dict[str, str]
    kinds: dict[str, str]
    facts: Sequence[tuple[str, str]]
    first: int | None
    describers: list[str]
    heads: list[Glance]
    figures: list[Figure]
    categories: dict[str, str]


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation's scores on all heads of a model.

    Attributes:
        scores: by layer and head, how strongly it is implemented, and how strongly suppressed.
    """

    name: str
    category: str
    scores: Mapping[tuple[int, int], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class OperationFigures:
    """The figures of operations on a map, which stay as they are while heads are described.

    Attributes:
        figures: each operation implemented, then suppressed, then how many a head implements.
        strongest: of each head the highest score.
        categories: of each operation.
    """

    figures: list[Figure]
    strongest: list[float]
    categories: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Column:
    """A figure that any head may have: one row here."""

    label: str
    note: str
    value: Callable[[HeadSummary], float | None]
    lacking: str
    linear: bool = False


_COLUMNS = (
    _Column("Highest saliency", "Saliency of the head's most salient token", lambda head: head.saliency, "no rows"),
    _Column(
        "Evidence: findings",
        "Findings in its mappings that are above chance",
        lambda head: head.evidence,
        "not tested",
        linear=True,
    ),
    _Column(
        "Evidence: strongest effect (h)",
        "Cohen's h of the strongest finding: how far a share is above that by chance; from 0.8 on it is large",
        lambda head: head.effect,
        "nothing above chance, or not tested",
        linear=True,
    ),
)


def overview(model: ModelInfo, heads: Sequence[HeadSummary], operations: OperationFigures) -> Overview:
    """The map of a model's heads, which are in order of layer and head, as they are in the figures of operations."""
    described = any(head.state != "none" for head in heads)
    state = _word_figure("Description state", "What became of the head's best description", STATES, heads, _state)
    state["words"] = [STATE_WORDS[one] for one in STATES]
    first = [*_headlines(heads), *([state] if described else [])]
    figures = [*_score_figures(heads), *_plain_figures(heads), *operations.figures]
    describers = sorted({llm for head in heads for llm in head.describers})
    return {
        "model": {"name": model.name, "n_layers": model.n_layers, "n_heads": model.n_heads},
        "threshold": THRESHOLD,
        "states": {state: STATE_WORDS[state] for state in STATES},
        "measures": MEASURE_NOTES,
        "kinds": {str(kind): words for kind, words in CARD_KINDS.items()},
        "facts": FACTS,
        "first": max(range(len(heads)), key=lambda i: (_telling(heads[i], operations.strongest[i]), -i), default=None),
        "describers": describers,
        "heads": [_glance(head, describers) for head in heads],
        "figures": [*first, *figures, *([] if described else [state])],
        "categories": operations.categories,
    }


@lru_cache(maxsize=1 << 16)  # shares of so many pairs are few
def number(value: float) -> float | None:
    """A number of four significant digits, more than a page shows; JSON has no NaN."""
    if not math.isfinite(value):
        return None
    rounded = float(f"{value:.4g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded


def _state(head: HeadSummary) -> str:
    return head.state


def _glance(head: HeadSummary, describers: Sequence[str]) -> Glance:
    said = _said(head)
    return {
        "layer": head.layer,
        "head": head.head,
        "state": head.state,
        "said": said if len(said) <= LONGEST else said[:LONGEST] + "…",
        "pattern": (head.pattern or "")[:LONGEST] if head.state == "described" else "",
        "kind": head.card.kind if head.card else "",
        "describers": [describers.index(llm) for llm in head.describers],
    }


def _said(head: HeadSummary) -> str:
    """The head's headline, where anything carries it; else its description, or why there is none."""
    if head.card is not None and head.card.rests_on:
        return head.card.headline
    if head.state == "failed":
        return head.said
    if head.state == "unclear":
        return f"no clear pattern; inputs: {head.inputs}" if head.inputs and head.inputs != "Unclear" else ""
    return head.said


def _telling(head: HeadSummary, strongest: float) -> tuple[float, ...]:
    """The order of heads by how much they tell: by the trust in what their headline rests on, then by how strongly."""
    margin = -1.0 if head.score is None or head.wrong is None else head.score - head.wrong
    shows = 0.0 if head.figure is None else max((part.share for part in head.figure.above.values()), default=0.0)
    rests = -head.card.rank if head.card and head.card.rests_on else -99
    found = (
        rests,
        not (head.card and head.card.contradictions),
        head.verdict == "supported",
        head.state == "described",
        margin,
        shows,
        strongest,
        head.effect or 0.0,
    )
    return tuple(float(one) if math.isfinite(one) else 0.0 for one in found)


def _figure(
    label: str, note: str, values: Iterable[float | None], lacking: str, *, linear: bool = True, of_descriptions: bool
) -> Figure:
    return {
        "label": label,
        "note": note,
        "lacking": lacking,
        "of_descriptions": of_descriptions,
        "linear": linear,
        "words": [],
        "values": [None if value is None else number(value) for value in values],
    }


def _word_figure(
    label: str, note: str, words: Sequence[str], heads: Sequence[HeadSummary], word: Callable[[HeadSummary], str | None]
) -> Figure:
    places = {one: place for place, one in enumerate(words)}
    values = (places.get(word(head) or "") for head in heads)
    figure = _figure(label, note, values, "not looked at", of_descriptions=False)
    return figure | {"words": list(words)}


def _score_figures(heads: Sequence[HeadSummary]) -> Iterator[Figure]:
    """The verdicts; then of each measure by each judge the score, and how far it is above a wrong description's."""
    if any(head.verdict != "not judged" for head in heads):
        note = "Whether the scores of its description show more than a wrong description, or shared tokens alone, would"
        figure = _word_figure("Verdict on the description", note, VERDICTS, heads, lambda head: head.verdict)
        yield figure | {"of_descriptions": True}
    by_head = [{(one.measure, one.judge): one for one in head.scores} for head in heads]
    for measure, judge in dict.fromkeys(key for found in by_head for key in found):
        found = [one.get((measure, judge)) for one in by_head]
        wrong = [one.wrong for one in found if one is not None and one.wrong is not None]
        mean = f"wrong descriptions get {sum(wrong) / len(wrong):.3f} on average" if wrong else ""
        note = f"{MEASURE_NOTES.get(measure, measure)}; {mean or 'wrong descriptions were not tried'}"
        values = (None if one is None else one.value for one in found)
        yield _figure(f"Score: {measure} by {judge}", note, values, "not scored", of_descriptions=True)
        if wrong:
            margins = (None if one is None or one.wrong is None else one.value - one.wrong for one in found)
            label = f"Score minus the wrong description's: {measure} by {judge}"
            note = "How far the description's score is above that of another head's description, on the same rows"
            yield _figure(label, note, margins, "not scored", of_descriptions=True)


def _headlines(heads: Sequence[HeadSummary]) -> Iterator[Figure]:
    """The kinds of headlines, where any rests on something."""
    if any(head.card is not None and head.card.rests_on for head in heads):
        note = "The sort of head that its headline makes it: by where it looks, or by what it writes"
        kinds = list(CARD_KINDS)
        figure = _word_figure(
            "Kind of headline", note, kinds, heads, lambda head: head.card.kind if head.card else None
        )
        yield figure


def _plain_figures(heads: Sequence[HeadSummary]) -> Iterator[Figure]:
    for column in _COLUMNS:
        values = [column.value(head) for head in heads]
        if any(value is not None for value in values):
            yield _figure(
                column.label, column.note, values, column.lacking, linear=column.linear, of_descriptions=False
            )
    if any(head.figure is not None for head in heads):
        note = "What random heads show at most stands beside each head that shows more"
        for name, words in PARTS.items():
            shares = (None if head.figure is None else getattr(head.figure, name).share for head in heads)
            yield _figure(words.share, note, shares, "not looked for", of_descriptions=False)
    if any(head.kinds is not None for head in heads):
        note = "The first kind of head that it is, by where it looks on text"
        yield _word_figure("Where it looks: the kind of head", note, [*SAYS, "no kind"], heads, _kind)
        for name in MAPPED:
            label = f"Attention to {MEANINGS[name]}"
            looks = (None if head.looks is None else head.looks.get(name) for head in heads)
            yield _figure(label, f"{label}, on text", looks, "not looked at", of_descriptions=False)


def _kind(head: HeadSummary) -> str | None:
    return None if head.kinds is None else next((kind for kind in head.kinds if kind in SAYS), "no kind")


_SIDES = (
    ("Operation", "Share of pairs whose target is among the head's highest"),
    ("Suppressed", "Share of pairs whose target is among the head's lowest"),
)


def operation_figures(cells: Sequence[tuple[int, int]], operations: Sequence[Operation]) -> OperationFigures:
    """The figures of operations; ``cells``: layer and head of each head on the map, in order."""
    found = [[one.scores.get(cell) for cell in cells] for one in operations]
    figures = []
    for side, (kind, note) in enumerate(_SIDES):
        for one, scores in zip(operations, found, strict=True):
            values = (None if both is None else both[side] for both in scores)
            label = f"{kind}: {one.name.replace('_', ' ')}"
            figures.append(_figure(label, note, values, "not scored", of_descriptions=False))
    of_heads = [[both for both in of_head if both] for of_head in zip(*found, strict=True)] or [[] for _ in cells]
    if operations:
        counts = (sum(score >= THRESHOLD for score, _ in of_head) for of_head in of_heads)
        note = f"Operations with a score of {THRESHOLD:g} or more"
        figures.append(_figure("Operations implemented", note, counts, "not scored", of_descriptions=False))
    strongest = [max((max(both) for both in of_head), default=0.0) for of_head in of_heads]
    return OperationFigures(figures, strongest, {one.name: one.category for one in operations})

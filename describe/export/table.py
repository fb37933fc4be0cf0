"""Heads as a flat table, for spreadsheets and data frames: a row per head and description."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from describe.head_record import DescriptionRecord, HeadRecord, Json, Record
from describe.head_record.schema import properties
from describe.text import quoted

__all__ = ["COLUMNS", "table_rows"]


class _OfHead(Record):
    """A head's columns of a row."""

    reading: str
    """by which the head was read: `paper` or `direct`"""

    headline: str | None
    """what the head does, in one line"""

    headline_kind: str | None
    """the kind of the headline, by what carries it"""

    headline_basis: str | None
    """the figure that the headline rests on, and of what sort it is"""

    contradictions: str
    """what is known of the head and does not go together"""

    saliency: float | None
    """saliency of the most salient token"""

    sources: str
    """the salient tokens, quoted"""

    targets: str
    """for each of them the tokens it promotes most"""

    suppressed: str
    """for each of them the tokens it pushes down most"""

    implements: str
    """the predefined operations that the head implements, with their relation scores"""

    evidence: str
    """what is above chance in the mappings, in words"""

    figure: str | None
    """what of its mappings is above random heads, in words; null where not looked for"""

    mappings_without_context: float | None
    """share of the mappings that the head writes in prompts as if it attended to the source alone"""

    mappings_with_context: float | None
    """the same as the head attends"""

    attention: str | None
    """kinds of head by where it looks; null where not looked at"""

    roles: str
    """the head's roles: number, what it does, share of the saliency"""


class _OfScore(Record):
    """The columns of a description's score to show first."""

    score: float | None
    """how far a judge found the description true; null where none did"""

    score_low: float | None
    """lower end of its 95 % confidence interval"""

    score_high: float | None
    """upper end of it"""

    score_placebo: float | None
    """what a description of another head gets on the same rows; null where not run"""

    score_grouping: float | None
    """what grouping the rows by shared tokens gives without any description; null where not looked at"""

    score_measure: str | None
    """what the score is: `detection` is the area under the ROC curve, 0.5 by chance"""

    score_judge: str | None
    """who judged"""

    verdict: str | None
    """supported, names outputs only, not supported, or not judged: by all its scores"""


_PLACE = ("model", "layer", "head")
_WORDS = ("llm", "prompt", "role", "inputs", "pattern", "unclear", "reasoning", "failure")

COLUMNS: dict[str, Json] = {
    **{name: properties(HeadRecord)[name] for name in _PLACE},
    **properties(_OfHead),
    **{name: properties(DescriptionRecord)[name] for name in _WORDS},
    **properties(_OfScore),
}
"""Columns with their types and meanings; those of a description are empty where nobody described the head."""


def table_rows(head: HeadRecord) -> Iterator[dict[str, Any]]:
    """A head as rows, one per description; one without a description as a row all the same."""
    place = {name: getattr(head, name) for name in _PLACE}
    of_head = _of_head(head).to_json()
    for one in head.descriptions or (None,):
        yield place | of_head | {name: getattr(one, name, None) for name in _WORDS} | _of_score(one).to_json()


def _of_head(head: HeadRecord) -> _OfHead:
    shares, card = head.inference, head.card
    return _OfHead.of(
        reading=head.reading.name,
        headline=card and card.headline,
        headline_kind=card and card.kind,
        headline_basis=card and card.basis,
        contradictions="; ".join(found.words for found in card.contradictions) if card else "",
        saliency=head.salient[0].saliency if head.salient else None,
        sources=" ".join(quoted(row.token) for row in head.salient),
        targets=" | ".join(" ".join(quoted(target.token) for target in row.targets) for row in head.salient),
        suppressed=" | ".join(" ".join(quoted(target.token) for target in row.suppressed) for row in head.salient),
        implements=head.implements_text,
        evidence=head.evidence_text,
        figure=head.figure and head.figure.words,
        mappings_without_context=shares and shares.of_source,
        mappings_with_context=shares and shares.in_context,
        attention=head.attention.names if head.attention else None,
        roles="; ".join(f"{role.role} {role.sign} {role.share:.2f}" for role in head.roles),
    )


def _of_score(description: DescriptionRecord | None) -> _OfScore:
    top = description and description.headline
    values = {f"score_{name}": getattr(top, name, None) for name in ("low", "high", "grouping", "measure", "judge")}
    values["score_placebo"] = top and top.wrong  # the column has kept its name
    return _OfScore.of(score=top and top.value, verdict=description and description.verdict, **values)

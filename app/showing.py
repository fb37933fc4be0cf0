"""The command ``show``: everything known of one head, or a table of all heads, sorted and filtered by their scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Optional, TypeVar

import typer

from app import options as o
from app.saying import say
from describe.kinds import CARD_KINDS
from describe.measures import VERDICTS

if TYPE_CHECKING:
    from describe.head_record import HeadSummary

__all__ = ["show"]

T = TypeVar("T")


class Order(str, Enum):
    """Columns that the table of heads can be sorted by: layers from the first on, the others from the largest down."""

    layer = "layer"
    score = "score"
    saliency = "saliency"
    evidence = "evidence"
    verdict = "verdict"


OfKind = Enum("OfKind", {words: words.replace(" ", "-") for words in CARD_KINDS})  # type: ignore[misc]
"""Kinds of headline as the command line has them."""

OfVerdict = Enum("OfVerdict", {words: words.replace(" ", "-") for words in VERDICTS})  # type: ignore[misc]
"""Verdicts as the command line has them."""

_LARGEST: dict[Order, Callable[[HeadSummary], float | None]] = {
    Order.score: attrgetter("score"),
    Order.saliency: attrgetter("saliency"),
    Order.evidence: attrgetter("effect"),
    Order.verdict: lambda summary: -VERDICTS.index(summary.verdict),
}

_MADE_BY = {Order.score: ": headscribe score makes scores", Order.evidence: "", Order.saliency: "", Order.verdict: ""}


def show(
    model: o.Model,
    head: Annotated[
        str | None, typer.Argument(metavar="[L.H]", help="A head, such as 25.0; none: a table of all.")
    ] = None,
    catalog: o.CataloguePlace = o.DEFAULT_CATALOGUE,
    reading: o.ShownReading = None,
    sort: Annotated[
        Order, typer.Option("--sort", help="Sort the table; evidence: by the strongest effect.")
    ] = Order.layer,
    min_score: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option("--min-score", metavar="X", help="Only heads whose description scores so much or more."),
    ] = None,
    of_verdict: Annotated[
        Optional[OfVerdict],  # noqa: UP045
        typer.Option("--verdict", help="Only heads whose description has this verdict."),
    ] = None,
    of_kind: Annotated[
        Optional[OfKind],  # noqa: UP045
        typer.Option("--kind", help="Only heads whose headline is of this kind."),
    ] = None,
    contradictions: Annotated[
        bool,
        typer.Option("--contradictions", help="Only heads of which something does not go together; how many of what."),
    ] = False,
    suppressed: Annotated[
        bool, typer.Option("--suppressed", help="Show the tokens that a head pushes down, not those it promotes.")
    ] = False,
    json_path: o.Json = None,
) -> None:
    """Show everything known of one head, or a table of all heads."""
    from app.terminal import HeadLine, draw_contradictions, draw_head, draw_heads, write_json
    from describe import pipeline
    from describe.catalog import Catalogue
    from describe.records import HeadId

    with Catalogue(catalog) as opened:
        if head is not None:
            record = pipeline.head_record(opened, model, HeadId.parse(head), reading)
            write_json(record.to_json(), json_path) if json_path else draw_head(record, suppressed=suppressed)
            return
        info, extraction_id = pipeline.find(opened, model, reading)
        records = opened.head_records(info, extraction_id, held_out=bool(json_path))
        wanted = Wanted(min_score, of_verdict, of_kind, contradictions)
        if json_path:
            chosen = _chosen(((record.summary(), record) for record in records), sort, wanted)
            write_json([record.to_json() for record in chosen], json_path)
            return
        lines = [HeadLine.of(record) for record in records]
        if sort in _LARGEST and all(_LARGEST[sort](line.summary) is None for line in lines):
            say(f"headscribe: no head has a figure for --sort {sort.value} yet{_MADE_BY[sort]}", err=True)
        shown = _chosen(((line.summary, line) for line in lines), sort, wanted)
        draw_contradictions(shown) if contradictions else draw_heads(shown)


@dataclass(frozen=True)
class Wanted:
    """Conditions on the heads of a table; None: none."""

    min_score: float | None
    of_verdict: OfVerdict | None
    of_kind: OfKind | None
    contradictions: bool

    def meets(self, summary: HeadSummary) -> bool:
        """Whether a head meets all of them."""
        card = summary.card
        return (
            (self.min_score is None or (summary.score is not None and summary.score >= self.min_score))
            and (self.of_verdict is None or summary.verdict.replace(" ", "-") == self.of_verdict.value)
            and (self.of_kind is None or (card is not None and card.kind.replace(" ", "-") == self.of_kind.value))
            and (not self.contradictions or (card is not None and bool(card.contradictions)))
        )


def _chosen(heads: Iterable[tuple[HeadSummary, T]], sort: Order, wanted: Wanted) -> list[T]:
    """The heads that are wanted, in order; where a figure is not known, last."""
    found = [(summary, head) for summary, head in heads if wanted.meets(summary)]
    if sort in _LARGEST:
        figure = _LARGEST[sort]

        def rank(one: tuple[HeadSummary, T]) -> tuple[bool, float]:
            value = figure(one[0])
            return value is None, -(value or 0.0)

        found.sort(key=rank)
    return [head for _, head in found]

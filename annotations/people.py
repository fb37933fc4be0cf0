"""The scores of a model's descriptions against what people said of these, over all studies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypedDict

from sqlalchemy import select

from annotations.frame import ratings
from annotations.records import Study
from annotations.schema import study_item
from annotations.storage import studies
from describe.catalog import Catalogue
from describe.statistics import DRAWS

if TYPE_CHECKING:
    import pandas as pd

    from annotations.report.records import Figure

__all__ = ["Ends", "People", "against_people"]


class Ends(TypedDict):
    """A value with its interval; no ends where there is none."""

    value: float
    low: float | None
    high: float | None


class People(TypedDict):
    """How well a score tells the answers "fits" of raters from the others.

    Attributes:
        descriptions, answers: what it rests on.
        auroc: 0.5 where the score says nothing of them; None where all answers are the same.
        shuffled: that after the ratings were shuffled among the descriptions; from ``low`` to ``high`` is luck.
        note: why there is no value or no interval.
    """

    descriptions: int
    answers: int
    auroc: Ends | None
    shuffled: Ends | None
    note: str


def against_people(catalogue: Catalogue, extraction_id: int, draws: int = DRAWS) -> dict[tuple[str, str], People]:
    """By source (`annotations.sources.source_name`) and score (`annotations.scores.score_name`, or
    `annotations.report.calibration.TOGETHER`), of descriptions of one extraction that were rated in any study.

    Raters whom their study's rules exclude are left out.
    """
    rated = [rows for study in studies(catalogue, archived=True) for rows in _rows(catalogue, study, extraction_id)]
    if not rated:
        return {}
    import pandas as pd

    from annotations.report.calibration import TOGETHER, auroc_name, by_measure, calibration, luck_name
    from annotations.report.sample import Sample

    pooled = pd.concat(rated, ignore_index=True)
    pooled["score"] = float("nan")  # of whichever measure it is: each stands by itself here
    figures = {(figure.group, figure.name): figure for figure in calibration(Sample(pooled, seed=0, draws=draws))}
    return {
        (source, name): _people(ranked, figures.get((source, luck_name(name))))
        for source in sorted(pooled["source"].unique())
        for name in (*by_measure(pooled), TOGETHER)
        if (ranked := figures.get((source, auroc_name(name)))) is not None
    }


def _rows(catalogue: Catalogue, study: Study, extraction_id: int) -> Iterator[pd.DataFrame]:
    """First answers in a study on own descriptions of an extraction, if there are any; ``item``: the description's id,
    ``rater`` not to be taken for another study's."""
    columns = (study_item.c.number, study_item.c.origin)
    query = select(*columns).where(study_item.c.study_id == study.id, study_item.c.kind == "real")
    with catalogue.engine.connect() as connection:
        origins = {row.number: row.origin for row in connection.execute(query)}
    ids = {n: of["description_id"] for n, of in origins.items() if of.get("extraction_id") == extraction_id}
    if not ids:
        return
    from annotations.report.exclusion import kept
    from annotations.report.frame import checked
    from annotations.report.records import Study as ReportedStudy

    rows = kept(ReportedStudy.of(study), checked(ratings(catalogue, study)))
    rows = rows[(rows["kind"] == "real") & (rows["occasion"] == 1) & rows["item"].isin(ids)]
    if len(rows):
        yield rows.assign(item=rows["item"].map(ids), rater=f"{study.id} " + rows["rater"])


def _people(ranked: Figure, luck: Figure | None) -> People:
    return {
        "descriptions": ranked.descriptions or 0,
        "answers": ranked.n,
        "auroc": _ends(ranked),
        "shuffled": None if luck is None else _ends(luck),
        "note": ranked.note,
    }


def _ends(figure: Figure) -> Ends | None:
    if figure.value is None:
        return None
    low, high = figure.intervals[0][1:] if figure.intervals else (None, None)
    return {"value": figure.value, "low": low, "high": high}

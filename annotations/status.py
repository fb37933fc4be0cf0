"""How a study stands, for its owner: raters' progress, pace and failed catch items, items done, agreement so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import case, func, select

from annotations import schema
from annotations.frame import ratings
from annotations.records import Study
from describe.catalog import Catalogue
from describe.catalog.rows import iso

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["agreement", "status"]


def status(catalogue: Catalogue, study: Study) -> dict[str, Any]:
    """The state of a study in plain values, ready for JSON.

    ``items`` (number, and how many are ``complete``: answered by all raters wanted), ``answers`` (``given`` and
    ``wanted``, repeats not counted), ``stopped``, ``agreement`` (see there), and ``raters``: each ``rater``,
    ``state`` (invited, started, revoked), ``answered`` items, of these ``repeats``, median ``seconds`` an item,
    ``catch`` items answered and ``failed`` ones, ``last`` (when something was heard of them, ISO 8601 UTC, or None).
    """
    frame = ratings(catalogue, study)
    place, item, rater, event = schema.study_place, schema.study_item, schema.study_rater, schema.study_event
    by_item = (
        select(func.count().label("places"), func.count(place.c.answered).label("answered"))
        .join(item, place.c.item_id == item.c.id)
        .where(item.c.study_id == study.id)
        .group_by(item.c.id)
        .subquery()
    )
    complete = func.sum(case((by_item.c.places == by_item.c.answered, 1), else_=0))
    totals = select(func.count(), complete, func.sum(by_item.c.places), func.sum(by_item.c.answered))
    heard = select(event.c.rater_id, func.max(event.c.created)).where(
        event.c.study_id == study.id, event.c.type.not_in(("invited", "revoked"))
    )
    with catalogue.engine.connect() as connection:
        number, done, wanted, given = connection.execute(totals).one()
        entered = list(connection.execute(select(rater).where(rater.c.study_id == study.id).order_by(rater.c.id)))
        last = {row[0]: row[1] for row in connection.execute(heard.group_by(event.c.rater_id))}
    rows = []
    for row in entered:
        moment = last.get(row.id)
        state = "revoked" if row.revoked else "started" if moment else "invited"
        of_rater = _of_rater(frame[frame.rater == row.pseudonym])
        rows.append({"rater": row.pseudonym, "state": state, **of_rater, "last": moment and iso(moment)})
    return {
        "study": study.name,
        "stopped": study.stopped and iso(study.stopped),
        "raters_per_item": study.raters_per_item,
        "items": {"number": number, "complete": int(done or 0), **study.n_items},
        "answers": {"given": int(given or 0), "wanted": int(wanted or 0)},
        "agreement": agreement(frame),
        "raters": rows,
    }


def agreement(frame: pd.DataFrame) -> dict[str, Any]:
    """Raw agreement so far: of all ``pairs`` of raters at the same item, the share that gave the same ``fit``, and the
    share that agree whether it ``fits`` (``plausible``). Catch items and repeats do not count; None without a pair.
    """
    counted = frame[(frame.kind != "catch") & (frame.occasion == 1)]
    pairs = same = same_strict = 0
    for _, fits in counted.groupby("item")["fit"]:
        n = len(fits)
        pairs += n * (n - 1) // 2
        same += sum(k * (k - 1) // 2 for k in fits.value_counts())
        same_strict += sum(k * (k - 1) // 2 for k in (fits == "fits").value_counts())
    return {
        "pairs": pairs,
        "fit": float(same / pairs) if pairs else None,
        "plausible": float(same_strict / pairs) if pairs else None,
    }


def _of_rater(own: pd.DataFrame) -> dict[str, Any]:
    catch = own[own.kind == "catch"]
    seconds = own.seconds_a + own.seconds_b
    return {
        "answered": len(own),
        "repeats": int((own.occasion == 2).sum()),
        "seconds": round(float(seconds.median()), 1) if len(own) else None,
        "catch": len(catch),
        "failed": int((catch.fit != catch.expected).sum()),
    }

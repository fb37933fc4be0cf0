"""How a study stands, for its owner: raters' progress, pace and failed catch items, items done, agreement so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, case, func, select

from annotations import schema
from annotations.assignment import left
from annotations.frame import ratings
from annotations.records import Study
from describe.catalog import Catalogue
from describe.catalog.rows import iso

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["STANDINGS", "agreement", "status"]

STANDINGS = ("invited", "started", "at risk", "finished", "screened out", "revoked")
"""Where a rater stands. At risk: as it is now, the study's rules exclude them; finished: nothing is left for them."""


def status(catalogue: Catalogue, study: Study) -> dict[str, Any]:
    """The state of a study in plain values, ready for JSON.

    ``state`` is open, stopped, complete or archived; ``items``: number, and how many are ``complete``, answered by all
    raters wanted; ``answers``: ``given`` and ``wanted``, repeats not counted; ``stopped``; ``agreement`` (see there);
    and ``raters``: each ``rater``, ``state`` (invited, started, revoked), ``standing`` (more closely: of `STANDINGS`),
    ``risk`` (why the rules would exclude them as it stands, in words), ``answered`` items, of these ``repeats``, median
    ``seconds`` an item, ``catch`` items answered and ``failed`` ones, ``last`` (when something was heard of them, ISO
    8601 UTC, or None), and ``external`` (the id by which a platform knows them, or None).
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
        event.c.study_id == study.id, event.c.type.not_in(("invited", "recruited", "revoked"))
    )
    with catalogue.engine.connect() as connection:
        number, done, wanted, given = connection.execute(totals).one()
        entered = list(connection.execute(select(rater).where(rater.c.study_id == study.id).order_by(rater.c.id)))
        last = {row[0]: row[1] for row in connection.execute(heard.group_by(event.c.rater_id))}
        finished = _finished(connection, study)
    from annotations.report.frame import repeats  # loads pandas, as the ratings do

    twice = repeats(frame)
    rows = []
    for row in entered:
        moment = last.get(row.id)
        own = frame[frame.rater == row.pseudonym]
        risk = _risk(study, own, twice[twice.rater == row.pseudonym])
        state = "revoked" if row.revoked else "started" if moment else "invited"
        screened_out = row.screened_out is not None
        standing = _standing(state, screened_out, row.id in finished, bool(risk))
        told = {"rater": row.pseudonym, "state": state, "standing": standing, "risk": "; ".join(risk)}
        rows.append(told | _of_rater(own) | {"last": moment and iso(moment), "external": row.external_id})
    return {
        "study": study.name,
        "state": _of_study(study, number == int(done or 0)),
        "stopped": study.stopped and iso(study.stopped),
        "raters_per_item": study.raters_per_item,
        "items": {"number": number, "complete": int(done or 0), **study.n_items},
        "answers": {"given": int(given or 0), "wanted": int(wanted or 0)},
        "agreement": agreement(frame),
        "raters": rows,
    }


def _standing(state: str, screened_out: bool, finished: bool, risk: bool) -> str:
    if state == "revoked":
        return state
    if screened_out:
        return "screened out"
    if risk:
        return "at risk"
    return "finished" if finished else state


def _of_study(study: Study, complete: bool) -> str:
    if study.archived is not None:
        return "archived"
    return "complete" if complete else "stopped" if study.stopped is not None else "open"


def _finished(connection: Connection, study: Study) -> set[int]:
    """The raters for whom nothing is left: all their items are answered, and no other is open to them."""
    most = study.settings["items_per_rater"]
    shown, item = schema.study_presentation, schema.study_item
    counted = (
        select(shown.c.rater_id, func.count(), func.count(shown.c.answered))
        .join(item, shown.c.item_id == item.c.id)
        .where(item.c.study_id == study.id, shown.c.occasion == 1, shown.c.closed.is_(None))
        .group_by(shown.c.rater_id)
    )
    done = set()
    for rater_id, given, answered in connection.execute(counted):
        full = most is not None and given >= most
        if given == answered and (full or not left(connection, study.id, rater_id)):
            done.add(rater_id)
    return done


def _risk(study: Study, own: pd.DataFrame, twice: pd.DataFrame) -> tuple[str, ...]:
    """Why the study's rules would exclude a rater by what they answered so far."""
    from annotations.report.exclusion import LEAST, carefulness, judge
    from annotations.report.records import Study as ReportedStudy

    return judge(ReportedStudy.of(study), carefulness(own, twice))[0] if len(own) >= LEAST else ()


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

"""Functions of a rater's page: what comes next, what was shown, what was answered. All state is in the database.

Every call is one transaction, safe to repeat: a submission carries a UUID made by the page, and one that comes twice
counts once. A page that lost the connection sends the same again. Whatever a rater sends is either committed, or kept
in the log as refused with the reason; `Outcome` says which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select, update

from annotations import log, presenting, schema
from annotations.about import checked_about
from annotations.assignment import assign, close, hold, left, repeats_due
from annotations.material import screening_items
from annotations.patience import LONGEST_WAIT, Patience, patient
from annotations.records import Outcome, Progress, StageA, StageB, Turn
from annotations.seeded import hashed
from describe.catalog import Catalogue
from describe.catalog.rows import now, storable
from describe.errors import InputError

__all__ = ["PASSED", "RatingDesk"]

_MESSAGES = {
    "saved": "Saved.",
    "already": "This was answered before; the earlier answer stands.",
    "handed on": "You were away for so long that others were given this item; here is another one.",
    "too early": "The table has to be judged first.",
    "nothing": "There is nothing to go back to.",
    "revoked": "This link is not valid any more.",
}


PASSED = 3
"""Of the items of a try of the check before the items, so many must be answered rightly."""

_SHOWN = schema.study_presentation
_COUNTED = (
    select(_SHOWN.c.occasion, func.count(_SHOWN.c.id), func.count(_SHOWN.c.answered))
    .where(_SHOWN.c.rater_id == bindparam("rater_id"), _SHOWN.c.closed.is_(None))
    .group_by(_SHOWN.c.occasion)
)


class RatingDesk:
    """Where raters work. One for all threads of a process.

    Args:
        catalogue: the open catalogue that holds the studies.
        clock: the moment, in UTC; another one in tests.
        longest_wait: seconds that a call waits for a database that is locked or away.

    All methods take the id of a rater who has been let in (`annotations.access.find_rater`). They raise `InputError`
    for what a page would never send (another rater's presentation, an answer that is none), and one of
    `annotations.patience.AWAY` when the database could not be had: nothing was saved then, as far as one can know, and
    the same submission may be sent again.
    """

    def __init__(
        self, catalogue: Catalogue, *, clock: Callable[[], datetime] = now, longest_wait: float = LONGEST_WAIT
    ) -> None:
        self.patience = Patience(catalogue.engine, longest_wait)
        self._engine = catalogue.engine
        self._clock = clock

    # -- what comes next ------------------------------------------------------------------------------------------

    @patient
    def next_item(self, rater_id: int) -> Turn:
        """The view that this rater is to see now, alike however often it is asked, until it is answered."""
        with self._engine.connect() as connection:
            rater, study = presenting.who(connection, rater_id)
            turn = presenting.state(rater, study)
            shown = None if turn else presenting.current(connection, rater_id)
            if shown is not None and presenting.surely_held(connection, study, shown, self._clock()):
                turn = Turn("item", presenting.task(shown))
        if turn is not None:
            return turn
        with self._as_rater(rater_id) as (connection, rater, study, at):
            return presenting.state(rater, study) or _next(connection, study, rater, at)

    @patient
    def shown(self, rater_id: int, presentation: int, stage: str, submission: str) -> None:
        """Note that a stage was sent to the rater's page: once a page, its UUID being the same at every rerun."""
        with self._as_rater(rater_id) as (connection, _, study, at):
            row = presenting.own(connection, rater_id, presentation)
            if stage not in ("a", "b") or (stage == "b" and row.stage_a is None):
                raise InputError("that stage cannot have been shown")
            submission = log.valid_uuid(submission)
            if log.found(connection, submission) is None:
                _log(
                    connection,
                    study,
                    f"shown_{stage}",
                    at,
                    submission,
                    row,
                    shown_hash=presenting.shown_hash(row, stage),
                )

    @patient
    def progress(self, rater_id: int) -> Progress:
        """How far this rater is."""
        with self._engine.connect() as connection:
            rater, study = presenting.who(connection, rater_id)
            counts = {row[0]: (row[1], row[2]) for row in connection.execute(_COUNTED, {"rater_id": rater_id})}
            given, answered = counts.get(1, (0, 0))
            again, answered_again = counts.get(2, (0, 0))
            items = given + left(connection, study.id, rater_id)
            if (most := study.settings["items_per_rater"]) is not None:
                items = min(items, max(most, given))
            total = items + max(again, repeats_due(study, rater.pseudonym, items))
            can_undo = answered > 0 and presenting.reopened(connection, rater_id) is None
            return Progress(answered + answered_again, total, can_undo)

    # -- before the items -----------------------------------------------------------------------------------------

    @patient
    def consent(self, rater_id: int, submission: str) -> Outcome:
        """Note that the rater agreed to the consent text and the guideline as they are."""
        with self._as_rater(rater_id) as (connection, rater, study, at):
            if rater.consented is None and log.found(connection, submission := log.valid_uuid(submission)) is None:
                texts = hashed([study.consent, study.guideline])
                _change(connection, rater, consented=at)
                log.add(connection, study, "consented", at, submission=submission, rater_id=rater.id, shown_hash=texts)
        return _SAVED

    @patient
    def practise(self, rater_id: int, submission: str, number: int, a: StageA, b: StageB) -> Outcome:
        """Keep the answers to practice item ``number`` (from 0); the next one follows. They count for nothing."""
        with self._as_rater(rater_id) as (connection, rater, study, at):
            if number == rater.practised and log.found(connection, submission := log.valid_uuid(submission)) is None:
                _change(connection, rater, practised=number + 1)
                payload = {"number": number, **asdict(a), **asdict(b)}
                log.add(connection, study, "practised", at, submission=submission, rater_id=rater.id, payload=payload)
        return _SAVED

    @patient
    def tell_about(self, rater_id: int, submission: str, told: Mapping[str, str]) -> Outcome:
        """Keep what the rater says of themselves (`annotations.about.ABOUT`); once."""
        answers = checked_about(told)
        with self._as_rater(rater_id) as (connection, rater, study, at):
            if rater.about is None and log.found(connection, submission := log.valid_uuid(submission)) is None:
                _change(connection, rater, about=answers)
                log.add(connection, study, "about", at, submission=submission, rater_id=rater.id, payload=answers)
        return _SAVED

    @patient
    def screen(self, rater_id: int, submission: str, place: tuple[int, int], answer: StageB) -> Outcome:
        """Keep an answer to the check before the items: at ``place``, the try (1 or 2) and the item of it (from 0).

        Who answers `PASSED` of a try's items rightly may go on; who does not twice may not.
        """
        with self._as_rater(rater_id) as (connection, rater, study, at):
            so_far = presenting.screening(rater.screening)
            attempt, right = so_far["attempt"], [*so_far["right"]]
            ended = rater.screened is not None or rater.screened_out is not None
            submission = log.valid_uuid(submission)
            if ended or place != (attempt, len(right)) or log.found(connection, submission) is not None:
                return _SAVED
            tries = screening_items()
            right.append(answer.fit in tries[attempt - 1][len(right)].fit)
            changed: dict[str, object] = {"screening": {"attempt": attempt, "right": right}}
            if len(right) == len(tries[attempt - 1]):
                if sum(right) >= PASSED:
                    changed["screened"] = at
                elif attempt == len(tries):
                    changed["screened_out"] = at
                else:
                    changed["screening"] = {"attempt": attempt + 1, "right": []}
            _change(connection, rater, **changed)
            payload = {"attempt": attempt, "number": place[1], "right": right[-1], **asdict(answer)}
            log.add(connection, study, "screened", at, submission=submission, rater_id=rater.id, payload=payload)
        return _SAVED

    @patient
    def note(self, rater_id: int, submission: str, event: str) -> Outcome:
        """Note that the rater ``"paused"`` or ``"resumed"``."""
        if event not in ("paused", "resumed"):
            raise InputError(f"'{event}' is nothing a rater does")
        with self._as_rater(rater_id) as (connection, rater, study, at):
            if log.found(connection, submission := log.valid_uuid(submission)) is None:
                log.add(connection, study, event, at, submission=submission, rater_id=rater.id)
        return _SAVED

    # -- answers --------------------------------------------------------------------------------------------------

    @patient
    def answer_a(
        self, rater_id: int, presentation: int, submission: str, answer: StageA, *, active_ms: int | None = None
    ) -> Outcome:
        """Commit what the rater says of the table alone. It is locked from then on.

        ``active_ms``: milliseconds that the rater was at it, where the page can tell.
        """

        def change(connection: Connection, study: Row[Any], row: Row[Any], at: datetime) -> Outcome | str:
            if row.stage_a is not None:
                return _outcome("already")
            _change(connection, row, stage_a=_kept(answer))
            return "answered_a"

        return self._answer(rater_id, presentation, submission, "a", asdict(answer), active_ms, change)

    @patient
    def answer_b(
        self, rater_id: int, presentation: int, submission: str, answer: StageB, *, active_ms: int | None = None
    ) -> Outcome:
        """Commit what the rater says of the description: the first time, or anew after `undo_last`."""

        def change(connection: Connection, study: Row[Any], row: Row[Any], at: datetime) -> Outcome | str:
            if row.stage_a is None:
                return _outcome("too early")
            if row.answered is not None and row.reopened is None:
                return _outcome("already")
            if answer.coverage is None and answer.fit != "can't tell" and not row.content["unclear"]:
                raise InputError("how many rows does the description cover?")
            if row.reopened is not None:
                _change(connection, row, stage_b=_kept(answer), reopened=None)
                return "revised"
            _change(connection, row, stage_b=_kept(answer), answered=at)
            place = schema.study_place
            mine = (place.c.item_id == row.item_id, place.c.rater_id == row.rater_id)
            if row.occasion == 1:
                connection.execute(update(place).where(*mine).values(answered=at))
            return "answered_b"

        return self._answer(rater_id, presentation, submission, "b", asdict(answer), active_ms, change)

    @patient
    def undo_last(self, rater_id: int, submission: str) -> Outcome:
        """Go back to the last judgement: `next_item` shows it again in stage B, until it is answered anew.

        Stage A stays as it is: it was said without the description, and cannot be any more. The earlier answer stays
        in the log, and counts until there is a new one.
        """
        with self._as_rater(rater_id) as (connection, rater, study, at):
            if log.found(connection, submission := log.valid_uuid(submission)) is not None:
                return _SAVED
            if rater.revoked is not None:
                return _outcome("revoked")
            table = schema.study_presentation
            last = select(table.c.id).where(table.c.rater_id == rater_id, table.c.answered.is_not(None))
            found = connection.execute(last.order_by(table.c.position.desc()).limit(1)).scalar()
            if found is None or presenting.reopened(connection, rater_id) is not None:
                return _outcome("nothing")
            row = presenting.own(connection, rater_id, found)
            _change(connection, row, reopened=at)
            _log(connection, study, "undone", at, submission, row)
            return _SAVED

    # -- inside ---------------------------------------------------------------------------------------------------

    @contextmanager
    def _as_rater(self, rater_id: int) -> Iterator[tuple[Connection, Row[Any], Row[Any], datetime]]:
        """A transaction that holds the rater's row, so that a rater's pages go one after the other."""
        with self.patience.write() as connection:
            rater, study = presenting.who(connection, rater_id, lock=True)
            yield connection, rater, study, self._clock()

    def _answer(
        self,
        rater_id: int,
        presentation: int,
        submission: str,
        stage: str,
        said: dict[str, Any],
        active_ms: int | None,
        change: Callable[[Connection, Row[Any], Row[Any], datetime], Outcome | str],
    ) -> Outcome:
        """Take a submission, or refuse it and keep it in the log; either is committed when this returns."""
        with self._as_rater(rater_id) as (connection, rater, study, at):
            row = presenting.own(connection, rater_id, presentation)
            before = log.found(connection, submission := log.valid_uuid(submission))
            if before is not None:
                return _known(before, row)
            outcome: Outcome | str = _outcome("revoked")
            if rater.revoked is None and row.closed is None:
                outcome = _held(connection, study, row, at) or change(connection, study, row, at)
            elif rater.revoked is None:
                outcome = _outcome("handed on")
            if isinstance(outcome, Outcome):
                payload = {"stage": stage, "reason": outcome.status, **said}
                _log(connection, study, "refused", at, submission, row, payload=payload)
                return outcome
            wall, active = presenting.elapsed_ms(connection, row.id, stage, at)
            active = active if active_ms is None else max(0, min(active_ms, wall))
            shown = presenting.shown_hash(row, stage)
            _log(connection, study, outcome, at, submission, row, payload=said, active_ms=active, shown_hash=shown)
        return _SAVED


def _next(connection: Connection, study: Row[Any], rater: Row[Any], at: datetime) -> Turn:
    """The open presentation, if its item can still be held; else a new one."""
    shown = presenting.current(connection, rater.id)
    if shown is not None and _held(connection, study, shown, at) is None:
        return Turn("item", presenting.task(shown))
    if study.stopped is not None:
        return Turn("stopped")
    made = assign(connection, study, rater, at)
    if made.presentation_id is not None:
        return Turn("item", presenting.task(presenting.own(connection, rater.id, made.presentation_id)))
    return Turn("waiting" if made.waiting else "done")


def _held(connection: Connection, study: Row[Any], row: Row[Any], at: datetime) -> Outcome | None:
    """See that an unanswered item's place is the rater's; if all went to others, close it and say so."""
    if row.occasion == 2 or row.answered is not None or hold(connection, study, row.item_id, row.rater_id, at):
        return None
    close(connection, study, row, at)
    return _outcome("handed on")


def _known(before: Row[Any], row: Row[Any]) -> Outcome:
    """The outcome of a submission when it came first."""
    if before.presentation_id != row.id:
        raise InputError("a submission needs a UUID of its own")
    return _outcome(before.payload["reason"]) if before.type == "refused" else _SAVED


def _change(connection: Connection, row: Row[Any], **values: Any) -> None:
    table = schema.study_rater if hasattr(row, "code_hash") else schema.study_presentation
    connection.execute(update(table).where(table.c.id == row.id).values(**values))


def _log(
    connection: Connection, study: Row[Any], type_: str, at: datetime, uuid: str, row: Row[Any], **more: Any
) -> None:
    log.add(connection, study, type_, at, submission=uuid, rater_id=row.rater_id, presentation_id=row.id, **more)


def _kept(answer: StageA | StageB) -> dict[str, Any]:
    return {name: storable(value) for name, value in asdict(answer).items()}


def _outcome(status: str) -> Outcome:
    return Outcome(status, _MESSAGES[status])


_SAVED = _outcome("saved")

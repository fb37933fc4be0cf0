"""The page of a rater: what comes next, and nothing else. Where they are is read from the database at every run."""

from __future__ import annotations

import logging
from html import escape

import streamlit as st

from annotations.access import LINK_PARAMETER
from annotations.patience import AWAY
from annotations.records import Outcome, Progress, Rater, Task, Turn
from annotations.recruiting import recruiting_of
from annotations.storage import study_of
from app.web.before_items import about_rater, consent, practice, screening
from app.web.drawing import description, keys_script, mapping_table, notice, said, words_and_name
from app.web.gate import require_rater
from app.web.guideline import behind, guideline
from app.web.questions import (
    PAUSE,
    SAVE,
    UNDO,
    Form,
    answered_a,
    answered_b,
    draw,
    forget,
    form_a,
    form_b,
    keys_line,
    not_saved,
)
from app.web.shared import catalogue, desk
from app.web.submissions import done, submission
from app.web.waiting import SAVING, WAITING, at_desk, patiently

BREAK_EVERY = 25

ENDS = {
    "waiting": "Nothing is left for you just now. Items that others hold may come back: look again later.",
    "done": "You have judged all your items. Thank you! All is saved, and you can close this page.",
    "stopped": "The study has ended, and no more items are given out. Thank you for your answers!",
    "screened out": "The check was not passed in two tries, so that there are no items for you. Thank you for trying!",
    "revoked": "This link is not valid any more. What you answered is kept.",
}

GAVE_UP = "The database did not answer for a minute. All that you chose and wrote still stands here: save it again."

_log = logging.getLogger("headscribe.app")


def rate() -> None:
    """Save what was asked to be saved, and draw what comes next for this rater."""
    rater = require_rater()
    keys_script()
    if st.session_state.get("paused"):
        return _paused(rater)
    _save_pressed(rater)
    turn = patiently(WAITING, desk().next_item, rater.id)
    if turn.state == "consent":
        consent(rater, study_of(catalogue(), rater))
    elif turn.state == "practice":
        practice(rater, turn.practice)
    elif turn.state == "about":
        about_rater(rater)
    elif turn.state == "screening":
        screening(rater, turn.attempt, turn.practice)
    elif turn.task is not None:
        _item(rater, turn.task)
    else:
        _end(rater, turn)


def _press(task: Task) -> None:
    """Ask for an item's answers to be saved: by the run that begins now, or the next if something else is pressed."""
    st.session_state["pressed"] = task


def _save_pressed(rater: Rater) -> None:
    """Save the item for which that was asked.

    Another key of the rater may end this run wherever it uses the session. So until the answer is committed nothing
    there is changed, and the next run sends the same submission, which counts once.
    """
    task: Task | None = st.session_state.get("pressed")
    if task is None:
        return
    form = _form(task)
    try:
        outcome = _answered(rater, task, form)
    except AWAY:
        _log.exception("an answer could not be saved")
        not_saved(form, GAVE_UP)
        outcome = None
    except Exception:  # of what no page would send: it is not tried again
        del st.session_state["pressed"]
        raise
    if outcome is not None:
        st.session_state["outcome"] = outcome
    del st.session_state["pressed"]
    if outcome is not None:
        done(form.name)
        forget(form.name)


def _answered(rater: Rater, task: Task, form: Form) -> Outcome | None:
    """The outcome of the answers on the page; None if some are missing."""
    if task.stage == "a":
        a = answered_a(form)
        if a is None:
            return None
        return patiently(SAVING, desk().answer_a, rater.id, task.presentation, submission(form.name), a)
    b = answered_b(form)
    if b is None:
        return None
    return patiently(SAVING, desk().answer_b, rater.id, task.presentation, submission(form.name), b)


def _form(task: Task) -> Form:
    """The questions about an item. Each time that the rater goes back to it they are others, with other keys."""
    if task.stage == "a":
        return form_a(f"item-{task.presentation}-a")
    again = f"-{task.reopened.timestamp():.6f}" if task.reopened else ""
    return form_b(f"item-{task.presentation}-b{again}", task.unclear, task.before)


def _item(rater: Rater, task: Task) -> None:
    form = _form(task)
    if f"{form.name}-shown" not in st.session_state:
        page = submission(f"{form.name}-shown")
        patiently(WAITING, desk().shown, rater.id, task.presentation, task.stage, page)
        st.session_state[f"{form.name}-shown"] = True
        done(f"{form.name}-shown")
    progress = desk().progress(rater.id)
    _how_far(rater, task, progress)
    left, right = st.columns([5, 3], gap="medium")
    left.html(mapping_table(task.rows, f"Table of item {task.position}"))
    with right, st.container(gap="xsmall"):
        if task.said is not None:
            st.html(said(task.said.presence, task.said.own_words))
            st.html(description(task.inputs or "", task.pattern or "", task.unclear))
        draw(form, "Save and go on", _press, task)
        _others(rater, progress)
        keys_line(form)


def _how_far(rater: Rater, task: Task, progress: Progress) -> None:
    """Progress, and what became of the last submission: "Saved" stands here only after the commit."""
    outcome: Outcome | None = st.session_state.pop("outcome", None)
    if outcome is not None and not outcome.saved:
        notice(outcome.message, "bad")
    where = f"{progress.answered} of {progress.total} done" + (" · you went back to the last" if task.before else "")
    well = f" · {outcome.message}" if outcome is not None and outcome.saved else ""
    st.progress(min(1.0, progress.answered / max(progress.total, 1)), f"{rater.pseudonym} · {where}{well}")
    if progress.answered and progress.answered % BREAK_EVERY == 0 and task.stage == "a":
        notice(f"{progress.answered} items done: a good moment for a break. All is saved; P pauses.")


def _others(rater: Rater, progress: Progress) -> None:
    with st.container(horizontal=True, gap="small"):
        _undo(rater, progress)
        pressed = st.button("Pause", key="pause", shortcut=PAUSE, type="tertiary", disabled=behind())
        if pressed and not behind() and _noted(rater, "paused"):
            st.session_state["paused"] = True
            st.rerun()
        guideline(rater)


def _undo(rater: Rater, progress: Progress) -> None:
    key, off = f"undo-{progress.answered}", not progress.can_undo or behind()
    if st.button("Back to the last", key=key, shortcut=UNDO, type="tertiary", disabled=off) and not behind():
        outcome = at_desk(desk().undo_last, rater.id, submission("undo"))
        if outcome is not None:
            done("undo")
            st.session_state["outcome"] = None if outcome.saved else outcome
            st.rerun()


def _noted(rater: Rater, event: str) -> bool:
    """Note that the rater paused or resumed; whether that could be done."""
    if at_desk(desk().note, rater.id, submission(event), event) is None:
        return False
    done(event)
    return True


def _paused(rater: Rater) -> None:
    st.title("Pause")
    notice("All you answered is saved. You can close this page.", "well")
    st.write("To go on later, here or on another device, open your personal link again, or enter your code:")
    st.html(f"<p><code>{escape(st.query_params[LINK_PARAMETER])}</code></p>")
    if st.button("Go on", key="resume", shortcut=SAVE, type="primary") and _noted(rater, "resumed"):
        st.session_state["paused"] = False
        st.rerun()
    keys_line(others={SAVE: "go on"})


def _end(rater: Rater, turn: Turn) -> None:
    outcome: Outcome | None = st.session_state.pop("outcome", None)
    if outcome is not None:
        notice(outcome.message, "well" if outcome.saved else "bad")
    st.title("Judging descriptions")
    notice(ENDS[turn.state], "well" if turn.state == "done" else "note")
    if turn.state in ("revoked", "screened out"):
        return
    progress = desk().progress(rater.id)
    if progress.answered:
        _completion(rater)
    with st.container(horizontal=True, gap="small"):
        _undo(rater, progress)
        st.button("Look again", key="look", shortcut=SAVE)
    keys_line(others={UNDO: "back to the last", SAVE: "look again"})


def _completion(rater: Rater) -> None:
    """The code and the way back to the platform that sent the rater, if it did."""
    how = recruiting_of(catalogue(), rater.study_id)
    if how is None:
        return
    if how.completion_code:
        st.html(words_and_name("Your completion code:", how.completion_code))
    if how.return_url:
        st.link_button("Go back, and have it counted", how.return_url, type="primary")


rate()

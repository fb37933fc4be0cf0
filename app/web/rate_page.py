"""The page of a rater: what comes next, and nothing else. Where they are is read from the database at every run."""

from __future__ import annotations

from html import escape

import streamlit as st

from annotations.access import LINK_PARAMETER
from annotations.records import Outcome, Progress, Rater, Study, Task, Turn
from annotations.storage import study_of
from app.web.before_items import consent, practice
from app.web.drawing import description, mapping_table, notice, said
from app.web.gate import require_rater
from app.web.questions import GUIDE, PAUSE, SAVE, UNDO, ask_a, ask_b, forget, keys_line
from app.web.shared import catalogue, desk
from app.web.submissions import done, submission

BREAK_EVERY = 25

ENDS = {
    "waiting": "Nothing is left for you just now. Items that others hold may come back: look again later.",
    "done": "You have judged all your items. Thank you!",
    "stopped": "The study has ended, and no more items are given out. Thank you for your answers!",
    "revoked": "This link is not valid any more. What you answered is kept.",
}


def rate() -> None:
    """Draw what comes next for this rater."""
    rater = require_rater()
    if st.session_state.get("paused"):
        return _paused(rater)
    turn = desk().next_item(rater.id)
    if turn.state == "consent":
        consent(rater, study_of(catalogue(), rater))
    elif turn.state == "practice":
        practice(rater, turn.practice)
    elif turn.task is not None:
        _item(rater, turn.task)
    else:
        _end(rater, turn)


def _item(rater: Rater, task: Task) -> None:
    name = f"item-{task.presentation}-{task.stage}{'-again' if task.before else ''}"
    if f"{name}-shown" not in st.session_state:
        desk().shown(rater.id, task.presentation, task.stage, submission(f"{name}-shown"))
        st.session_state[f"{name}-shown"] = True
    progress = desk().progress(rater.id)
    _how_far(rater, task, progress)
    left, right = st.columns([5, 3], gap="medium")
    left.html(mapping_table(task.rows, f"Table of item {task.position}"))
    with right, st.container(gap="xsmall"):
        outcome = _stage_a(rater, task, name) if task.stage == "a" else _stage_b(rater, task, name)
        if outcome is not None:
            done(name)
            forget(name)
            _go_on(outcome)
        _others(rater, progress)
        keys_line(task.stage, task.unclear)


def _stage_a(rater: Rater, task: Task, name: str) -> Outcome | None:
    answer = ask_a(name)
    if answer is None:
        return None
    return desk().answer_a(rater.id, task.presentation, submission(name), answer)


def _stage_b(rater: Rater, task: Task, name: str) -> Outcome | None:
    if task.said is not None:
        st.html(said(task.said.presence, task.said.own_words))
    st.html(description(task.inputs or "", task.pattern or "", task.unclear))
    answer = ask_b(name, task.unclear, task.before)
    if answer is None:
        return None
    return desk().answer_b(rater.id, task.presentation, submission(name), answer)


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
        if st.button("Pause", key="pause", shortcut=PAUSE, type="tertiary"):
            desk().note(rater.id, submission("paused"), "paused")
            done("paused")
            st.session_state["paused"] = True
            st.rerun()
        if st.button("Guideline", key="guideline", shortcut=GUIDE, type="tertiary"):
            _guideline(study_of(catalogue(), rater))


def _undo(rater: Rater, progress: Progress) -> None:
    key, off = f"undo-{progress.answered}", not progress.can_undo
    if st.button("Back to the last", key=key, shortcut=UNDO, type="tertiary", disabled=off):
        outcome = desk().undo_last(rater.id, submission("undo"))
        done("undo")
        _go_on(None if outcome.saved else outcome)


def _go_on(outcome: Outcome | None) -> None:
    st.session_state["outcome"] = outcome
    st.rerun()


@st.dialog("Guideline", width="large")
def _guideline(study: Study) -> None:
    st.markdown(study.guideline)


def _paused(rater: Rater) -> None:
    st.title("Pause")
    notice("All you answered is saved. You can close this page.", "well")
    st.write("To go on later, here or on another device, open your personal link again, or enter your code:")
    st.html(f"<p><code>{escape(st.query_params[LINK_PARAMETER])}</code></p>")
    if st.button("Go on", key="resume", shortcut=SAVE, type="primary"):
        desk().note(rater.id, submission("resumed"), "resumed")
        done("resumed")
        st.session_state["paused"] = False
        st.rerun()
    keys_line("", others={SAVE: "go on"})


def _end(rater: Rater, turn: Turn) -> None:
    outcome: Outcome | None = st.session_state.pop("outcome", None)
    if outcome is not None:
        notice(outcome.message, "well" if outcome.saved else "bad")
    st.title("Judging descriptions")
    notice(ENDS[turn.state], "well" if turn.state == "done" else "note")
    if turn.state == "revoked":
        return
    with st.container(horizontal=True, gap="small"):
        _undo(rater, desk().progress(rater.id))
        st.button("Look again", key="look", shortcut=SAVE)
    keys_line("", others={UNDO: "back to the last", SAVE: "look again"})


rate()

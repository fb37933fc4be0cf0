"""Runs: start one, watch all of them, stop one, go on with one. A run is the command, in a process of its own."""

from __future__ import annotations

import shlex
from datetime import datetime, timedelta

import streamlit as st

from app.runs import go_on, model_of
from app.web.asking import new_run
from app.web.drawing import notice, paragraphs
from app.web.gate import require_owner
from app.web.guard import guarded
from app.web.shared import catalogue, where
from describe.catalog.rows import now
from describe.catalog.runs import Run
from describe.errors import InputError

EVERY = 2  # seconds between two looks at the runs
SHOWN = 20

STATES = {
    "starting": "Starting",
    "running": "Running",
    "done": "Done",
    "failed": "Failed",
    "stopped": "Stopped",
    "died": "Died: its process is gone",
}


def show() -> None:
    """Draw the page."""
    require_owner()
    st.title("Runs")
    new_run()
    how_they_stand()


@st.fragment(run_every=EVERY)
def how_they_stand() -> None:
    """The newest runs, those that go on first; looks again by itself."""
    with guarded():
        require_owner()
        st.subheader("All runs")
        store = catalogue().runs
        store.bury([run for run in store.newest(SHOWN) if run.active])
        runs = store.newest(SHOWN)
        if not runs:
            return notice("Nothing was run on this catalogue yet.")
        for run in runs:
            with st.container(border=True):
                _one(run, model_of(catalogue(), run))


RESULTS = {  # command -> the page that shows what it left, and how the link is called
    "relations": ("operations_page.py", "Operations"),
    "correlate": ("checks_page.py", "Checks"),
    "ablate": ("checks_page.py", "Checks"),
}


def _one(run: Run, model: str | None) -> None:
    stopping = run.active and run.stop
    with st.container(horizontal=True, vertical_alignment="center"):
        st.html(paragraphs([f"{'Stopping' if stopping else STATES[run.state]}. {_about(run)}"]))
        if run.active and not run.stop and st.button("Stop", key=f"stop-{run.id}"):
            catalogue().runs.ask_to_stop(run.id)
            st.rerun(scope="fragment")
        if not run.active and run.state != "done" and st.button(_label(run), key=f"go-{run.id}"):
            _go_on(run)
    st.code(shlex.join(("headscribe", *run.arguments)), language=None, wrap_lines=True)
    if run.active and run.total:
        st.progress(min((run.done or 0) / run.total, 1.0), _progress(run))
    if run.message and not run.active:
        notice(run.message, "bad" if run.state == "failed" else "note")
    if run.message and run.active:
        with st.expander("Log"):
            st.code(run.message, language=None, wrap_lines=True)
    if model is not None:
        page, words = RESULTS.get(run.arguments[0], ("browse_page.py", "Heads"))
        st.page_link(page, label=f"{words}: what it left", query_params={"model": model})


def _about(run: Run) -> str:
    """When, for how long, with how many calls and how much money."""
    last = run.ended or (now() if run.state == "running" else run.heard)
    said = [f"Begun {_moment(run.created)}, {_long((last - run.created).total_seconds())}"]
    if not run.active and run.total:
        said.append(f"{run.stage} {run.done:,} of {run.total:,}")
    if run.calls:
        budget = run.option("budget")
        said.append(f"{run.calls:,} calls, ${run.money:.4f}{f' of ${float(budget):g}' if budget else ''}")
    if run.active and run.host:
        said.append(f"process {run.pid} on {run.host}")
    return "; ".join(said) + "."


def _progress(run: Run) -> str:
    left = run.seconds_left()
    ahead = "" if left is None or run.done == run.total else f", about {_long(left)} left"
    return f"{run.stage} {run.done:,} of {run.total:,}{ahead}"


def _label(run: Run) -> str:
    budget = run.option("budget")
    left = f", up to ${max(0.0, float(budget) - run.money):.2f}" if budget and float(budget) else ""
    return f"{'Try again' if run.state == 'failed' else 'Go on'}{left}".replace("$", "\\$")


def _go_on(run: Run) -> None:
    try:
        go_on(catalogue(), where(), run)
    except InputError as error:
        return notice(str(error), "bad")
    st.rerun(scope="fragment")


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _long(seconds: float) -> str:
    return str(timedelta(seconds=round(max(seconds, 0.0))))


show()

"""The owner's first page: how a study stands, live; who may rate; stop, extend, export."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import streamlit as st

from annotations.access import link
from annotations.export import export
from annotations.records import Invitation, Study
from annotations.status import status
from annotations.storage import extend, find_study, invite, raters, revoke, stop
from app.tables import csv_table
from app.web.chosen import chosen_study
from app.web.drawing import notice, table
from app.web.gate import require_owner
from app.web.guard import guarded
from app.web.shared import catalogue

EVERY = 10  # seconds between two looks at how it stands


def show() -> None:
    """Draw the page."""
    require_owner()
    st.title("Studies")
    study = chosen_study()
    if study is None:
        return
    how_it_stands(study.name)
    left, right = st.columns(2, gap="large")
    with left:
        _let_in(study)
    with right:
        _steer(study)
        _data(study)
    _settings(study)


@st.fragment(run_every=EVERY)
def how_it_stands(name: str) -> None:
    """Progress, pace, catch items and agreement; looks again by itself."""
    with guarded():
        require_owner()
        found = status(catalogue(), find_study(catalogue(), name))
        items, answers, agreed = found["items"], found["answers"], found["agreement"]
        with st.container(horizontal=True, gap="large"):
            st.metric("Answers", f"{answers['given']:,} of {answers['wanted']:,}", width="content")
            st.metric("Items complete", f"{items['complete']:,} of {items['number']:,}", width="content")
            pairs = f"of {agreed['pairs']:,} pairs of raters at an item"
            st.metric("Same answer on fit", _percent(agreed["fit"]), width="content", help=pairs)
            st.metric("Agree whether it fits", _percent(agreed["plausible"]), width="content", help=pairs)
            st.metric("State", "stopped" if found["stopped"] else "open", width="content")
        if found["raters"]:
            st.html(table(_HEADINGS, [_rater(row, answers, items) for row in found["raters"]], range(2, 6)))
        else:
            notice("Nobody is invited yet.")


_HEADINGS = ("rater", "state", "answered", "repeats", "median seconds", "catch items failed", "last heard of (UTC)")


def _rater(row: dict[str, Any], answers: dict[str, int], items: dict[str, int]) -> tuple[str, ...]:
    seconds = "" if row["seconds"] is None else f"{row['seconds']:.1f}"
    failed = f"{row['failed']} of {row['catch']}" if row["catch"] else ""
    last = (row["last"] or "")[:16].replace("T", " ")
    return row["rater"], row["state"], str(row["answered"]), str(row["repeats"]), seconds, failed, last


def _let_in(study: Study) -> None:
    st.subheader("Raters")
    with st.form("invite"):
        number = st.number_input("New raters", 1, 1000, min(study.raters_per_item, 1000))
        where = st.text_input("Where raters reach this app", _here(), max_chars=300)
        if st.form_submit_button("Invite", type="primary"):
            made = invite(catalogue(), study, int(number))
            st.session_state["invited"] = [
                *st.session_state.get("invited", []),
                *((study.name, one, where) for one in made),
            ]
    _links()
    able = [rater.pseudonym for rater in raters(catalogue(), study)]
    if able:
        with st.expander("Shut a rater out"), st.form("revoke", border=False):
            who = st.selectbox("Rater", able)
            st.caption("The link ends; what is unanswered goes to others; what was answered stays.")
            if st.form_submit_button("Shut out"):
                revoke(catalogue(), study, who)
                st.rerun()


def _links() -> None:
    """The new links: kept by this session alone, until the owner has them."""
    invited: list[tuple[str, Invitation, str]] = st.session_state.get("invited", [])
    if not invited:
        return
    notice("Give each rater one link, and nobody two. They are stored nowhere and cannot be shown again.", "well")
    lines = [(study, one.rater.pseudonym, link(where, one.code)) for study, one, where in invited]
    for _, pseudonym, personal in lines:
        st.caption(pseudonym)
        st.code(personal, language=None, wrap_lines=True)
    text = csv_table([dict(zip(("study", "rater", "link"), line, strict=True)) for line in lines])
    with st.container(horizontal=True):
        st.download_button("Download as CSV", text, "links.csv", "text/csv", on_click="ignore")
        if st.button("I have them: hide"):
            del st.session_state["invited"]
            st.rerun()


def _steer(study: Study) -> None:
    st.subheader("Study")
    if study.stopped is None:
        with st.popover("Stop"):
            st.caption("No more items are given out. What raters have before them they can still answer.")
            if st.button("Stop now", key="stop", type="primary"):
                stop(catalogue(), study)
                st.rerun()
    with st.form("extend"):
        more = st.number_input("Raters per item", study.raters_per_item, 1000, study.raters_per_item)
        words = "Extend" if study.stopped is None else "Go on with the study"
        if st.form_submit_button(words):
            extend(catalogue(), study, int(more))
            st.rerun()


def _data(study: Study) -> None:
    st.subheader("Data")
    st.caption("All events (CSV, JSONL), items, ratings, settings and a codebook, under pseudonyms.")
    file = f"study-{study.id}.zip"
    st.download_button("Export", lambda: _zipped(study.name), file, "application/zip", on_click="ignore", key="export")
    st.page_link("report_page.py", label="Report and data sheet")


def _settings(study: Study) -> None:
    with st.expander("Settings"):
        settings = {
            "models": ", ".join(study.models),
            "seed": study.seed,
            "made": f"{study.created:%Y-%m-%d %H:%M} UTC",
        }
        settings |= {f"items: {kind}": number for kind, number in study.n_items.items()}
        settings |= {f"rule: {rule}": limit for rule, limit in study.exclusion.items()} | study.settings
        st.html(table(("setting", "value"), [(name, str(value)) for name, value in settings.items()]))


def _zipped(name: str) -> bytes:
    packed = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in export(catalogue(), find_study(catalogue(), name), Path(folder)):
            archive.write(path, path.name)
    return packed.getvalue()


def _here() -> str:
    """The app's address as the owner's browser has it, without the page."""
    scheme, _, rest = (st.context.url or "http://localhost:8501").partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


show()

"""The owner's first page: how a study stands, live; who may rate; stop, extend, put away, export."""

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
from annotations.recruiting import MOST_RATERS, Recruiting, recruit, recruiting_link, recruiting_of
from annotations.status import status
from annotations.storage import archive, delete, extend, find_study, invite, raters, revoke, stop
from app.tables import csv_table
from app.web.chosen import chosen_study, forget_study
from app.web.drawing import notice, table
from app.web.gate import require_owner
from app.web.guard import guarded
from app.web.shared import catalogue
from describe.errors import InputError

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
            st.metric("State", found["state"], width="content")
        if found["raters"]:
            external = any(row["external"] for row in found["raters"])
            headings = (*_HEADINGS, *(("participant's id",) if external else ()))
            st.html(table(headings, [_rater(row, external) for row in found["raters"]], range(2, 6), lines=True))
            for row in found["raters"]:
                if row["risk"]:
                    notice(f"{row['rater']} is at risk of being excluded: {row['risk']}.")
        else:
            notice("Nobody is invited yet.")


_HEADINGS = ("rater", "state", "answered", "repeats", "median seconds", "catch items failed", "last heard of (UTC)")


def _rater(row: dict[str, Any], external: bool) -> tuple[str, ...]:
    seconds = "" if row["seconds"] is None else f"{row['seconds']:.1f}"
    failed = f"{row['failed']} of {row['catch']}" if row["catch"] else ""
    last = (row["last"] or "")[:16].replace("T", " ")
    told = row["rater"], row["standing"], str(row["answered"]), str(row["repeats"]), seconds, failed, last
    return (*told, row["external"] or "") if external else told


def _let_in(study: Study) -> None:
    st.subheader("Raters")
    with st.form("invite", enter_to_submit=False):
        number = st.number_input("New raters", 1, 1000, min(study.raters_per_item, 1000))
        where = st.text_input("Where raters reach this app", _here(), max_chars=300)
        if st.form_submit_button("Invite", type="primary"):
            made = invite(catalogue(), study, int(number))
            st.session_state["invited"] = [
                *st.session_state.get("invited", []),
                *((study.name, one, where) for one in made),
            ]
            st.rerun()  # what stands above is drawn with the new raters
    _links()
    _recruit(study)
    able = [rater.pseudonym for rater in raters(catalogue(), study)]
    if able:
        with st.expander("Shut a rater out"), st.form("revoke", border=False, enter_to_submit=False):
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
    with st.form("extend", enter_to_submit=False):
        more = st.number_input("Raters per item", study.raters_per_item, 1000, study.raters_per_item)
        words = "Extend" if study.stopped is None else "Go on with the study"
        if st.form_submit_button(words):
            extend(catalogue(), study, int(more))
            st.rerun()
    _put_away(study)


def _put_away(study: Study) -> None:
    """Archive a study or take it out again; delete one that nobody has answered."""
    with st.popover("Archive or delete"):
        st.caption("Archived: stopped, and left out of these pages unless asked for. Nothing of it is lost.")
        words = "Take it out again" if study.archived else "Archive"
        if st.button(words, key="archive"):
            archive(catalogue(), study, archived=study.archived is None)
            st.rerun()
        st.caption("Deleted: gone, with its links. Only a study of which no item was answered can be.")
        if st.button("Delete for good", key="delete"):
            try:
                delete(catalogue(), study)
            except InputError as error:
                return notice(str(error), "bad")
            forget_study()
            st.rerun()


def _recruit(study: Study) -> None:
    """One link for all, for platforms that send people."""
    how = recruiting_of(catalogue(), study.id)
    before = how or Recruiting(cap=max(1, study.raters_per_item))
    with (
        st.expander("One link by which raters enter themselves"),
        st.form("recruit", border=False, enter_to_submit=False),
    ):
        st.caption("For Prolific and the like, or a mailing list. Opening it makes nobody a rater; agreeing does.")
        cap = st.number_input("Raters at most", 1, MOST_RATERS, before.cap)
        parameter = st.text_input(
            "Participant's id in the address",
            before.id_parameter or "",
            placeholder="PROLIFIC_PID",
            help="Empty: nobody is asked for an id, and who comes again with the same browser goes on",
        )
        completion = st.text_input("Completion code, shown at the end", before.completion_code or "", max_chars=128)
        back = st.text_input("Where raters go then", before.return_url or "", placeholder="https://...")
        reach = st.text_input("Where raters reach this app", _here(), max_chars=300, key="recruit-where")
        is_open = st.checkbox("Raters may enter", value=before.open)
        new = how is not None and st.checkbox("Make another link; the one before ends")
        if st.form_submit_button("Save" if how else "Make the link"):
            _recruited(study, (cap, parameter, completion, back, is_open), reach, new)
    made = st.session_state.get("recruited")
    if made is not None and made[0] == study.name:
        notice("This is the link, for all raters alike. It cannot be shown again.", "well")
        st.code(made[1], language=None, wrap_lines=True)


def _recruited(study: Study, given: tuple[int, str, str, str, bool], reach: str, new: bool) -> None:
    cap, parameter, completion, back, is_open = given
    try:
        how = Recruiting(int(cap), parameter.strip() or None, completion.strip() or None, back.strip() or None, is_open)
        code = recruit(catalogue(), study, how, new_link=new)
    except InputError as error:
        return notice(str(error), "bad")
    if code is not None:
        st.session_state["recruited"] = (study.name, recruiting_link(reach, code, how))
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

"""The owner makes a study: fields over `annotations.design.Design` with its defaults, and what it would come to."""

from __future__ import annotations

from typing import Any

import streamlit as st

from annotations.design import Design, new_study
from annotations.material import consent_text, guideline_text
from annotations.preview import preview
from app.web.chosen import choose
from app.web.drawing import notice, table
from app.web.gate import require_owner
from app.web.shared import catalogue
from describe.errors import InputError

SHARES = {  # label, most, default
    "swap_easy": ("Random other head's description", 1.0, 0.15),
    "swap_hard": ("Description of a head alike", 1.0, 0.15),
    "shuffled": ("Targets shuffled over the rows", 1.0, 0.10),
    "catch": ("Obvious items", 1.0, 0.10),
    "repeats": ("Shown again to the same rater", 0.25, 0.08),
}


def show() -> None:
    """Draw the page."""
    require_owner()
    st.title("New study")
    models = list(dict.fromkeys(model.name for model in catalogue().models()))
    if not models:
        return notice(
            "There is no model in the catalogue yet: headscribe extract MODEL, then headscribe describe MODEL."
        )
    fields = _main(models) | _controls() | _more()
    st.subheader("What it comes to")
    try:
        _preview(Design(**fields | {"name": fields["name"] or "not named yet"}))
    except InputError as error:
        notice(str(error), "bad")
    if st.button("Make the study", type="primary"):
        _make(fields)


def _preview(design: Design) -> None:
    """The study as it would be, before anything is made: drawn anew when a field has changed."""
    before = st.session_state.get("preview")
    if before is None or before[0] != design:
        with st.spinner("Drawing items …"):
            before = st.session_state["preview"] = (design, preview(catalogue(), design))
    st.html(table(("study", design.name), before[1].lines()))


def _make(fields: dict[str, Any]) -> None:
    try:
        with st.spinner("Drawing items …"):
            made = new_study(catalogue(), Design(**fields))
    except InputError as error:
        return notice(str(error), "bad")
    choose(made)
    st.switch_page("studies_page.py")


def _main(models: list[str]) -> dict[str, Any]:
    left, right = st.columns(2, gap="large")
    name = left.text_input("Name", max_chars=128, placeholder="pilot")
    chosen = left.multiselect("Models", models, default=models[:1])
    heads = right.text_input("Heads", "sample:120", help="sample:N descriptions at random; all; or such as 25.0,16.8")
    known = [str(one["llm"]) for one in catalogue().browse.describers()]
    sources = right.multiselect("Describers", known, placeholder="all")
    contact = left.text_input("Whom raters may ask", max_chars=200, placeholder="Ada Lovelace, ada@example.org")
    unclear = right.checkbox(
        'Draw "Unclear" too', value=True, help="Raters are asked a question of their own about it: is there no pattern?"
    )
    number = left.number_input("Raters per item", 1, 1000, 3)
    seed = right.number_input("Seed", 0, 2**31 - 1, 0, help="The same catalogue and seed make the same items")
    return {
        "name": name.strip(),
        "models": tuple(chosen),
        "heads": heads.strip(),
        "sources": tuple(sources),
        "contact": contact.strip(),
        "unclear": unclear,
        "raters_per_item": int(number),
        "seed": int(seed),
    }


def _controls() -> dict[str, Any]:
    st.subheader("Controls")
    st.caption("Hidden among the items, as shares of the real ones; raters cannot tell them apart.")
    columns = st.columns(len(SHARES))
    return {
        name: column.number_input(label, 0.0, most, default, 0.01, key=f"share-{name}")
        for column, (name, (label, most, default)) in zip(columns, SHARES.items(), strict=True)
    }


def _more() -> dict[str, Any]:
    st.subheader("Exclusion of raters")
    st.caption("Fixed now, before any answer; the report gives the figures with and without the excluded.")
    columns = st.columns(3)
    failed = columns[0].number_input(
        "Obvious items failed, at most", 0.0, 1.0, 0.25, 0.05, help="a share, of three or more; 1: no such rule"
    )
    seconds = columns[1].number_input("Median seconds an item, at least", 0.0, 3600.0, 3.0, 0.5, help="0: no such rule")
    changed = columns[2].number_input(
        "Repeats answered otherwise, at most", 0.0, 1.0, 1.0, 0.05, help="1: no such rule"
    )
    with st.expander("More settings"):
        wide = st.columns(4)
        rows = wide[0].number_input("Rows of a table, at most", 1, 1000, 30)
        targets = wide[1].number_input("Targets of a row, at most", 1, 100, 5)
        per_rater = wide[2].number_input("Items of a rater, at most", 0, 10_000, 0, help="0: all")
        lease = wide[3].number_input("Minutes until an unanswered item goes to others", 1.0, 43_200.0, 30.0)
        checks = st.columns(2)
        screening = checks[0].checkbox("A check before the first item", help="3 of 4 obvious items; two tries")
        about = checks[1].checkbox("Ask raters about themselves", help="Their English, what they know of the subject")
        consent = st.text_area("What raters agree to (Markdown)", consent_text(), height=200)
        guideline = st.text_area("Guideline (Markdown)", guideline_text(), height=300)
    return {
        "max_failed_catch": None if failed == 1 else failed,
        "min_seconds_per_item": seconds or None,
        "max_repeat_disagreement": None if changed == 1 else changed,
        "rows": int(rows),
        "targets": int(targets),
        "items_per_rater": int(per_rater) or None,
        "lease_minutes": lease,
        "screening": screening,
        "about_raters": about,
        "consent": consent,
        "guideline": guideline,
    }


show()

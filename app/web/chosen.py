"""Which study the owner's pages are about: one choice for all of them."""

from __future__ import annotations

import streamlit as st

from annotations.records import Study
from annotations.storage import studies
from app.web.drawing import notice
from app.web.shared import catalogue

__all__ = ["choose", "chosen_study"]


def choose(study: Study) -> None:
    """Make this the study that the pages are about."""
    st.session_state["study"] = study.id


def chosen_study() -> Study | None:
    """The study, chosen among all where there are several; None, and a word about it, where there is none."""
    found = {study.id: study for study in reversed(studies(catalogue()))}
    if not found:
        notice("There is no study yet.")
        st.page_link("new_study_page.py", label="Make one")
        return None
    ids = list(found)
    before = st.session_state.get("study")
    index = ids.index(before) if before in found else 0
    number = (
        st.selectbox("Study", ids, index=index, format_func=lambda one: found[one].name) if len(ids) > 1 else ids[0]
    )
    st.session_state["study"] = number
    return found[number]

"""Which study the owner's pages are about: the one that the address names, one choice for all pages."""

from __future__ import annotations

import streamlit as st

from annotations.records import Study
from annotations.storage import studies
from app.web.drawing import notice, words_and_name
from app.web.shared import catalogue

__all__ = ["STUDY_PARAMETER", "choose", "chosen_study", "forget_study"]

STUDY_PARAMETER = "study"


def choose(study: Study) -> None:
    """Make this the study that the pages are about."""
    st.session_state["study"] = study.name


def forget_study() -> None:
    """Have no study chosen: it is there no more."""
    st.session_state.pop("study", None)
    _forget_address()


def chosen_study() -> Study | None:
    """The study, chosen among all where there are several; None, and a word about it, where there is none.

    Named by the address; else as chosen before; else the newest. Those put away are there where asked for.
    """
    everything = {study.name: study for study in reversed(studies(catalogue(), archived=True))}
    if not everything:
        notice("There is no study yet.")
        st.page_link("new_study_page.py", label="Make one")
        return None
    named = str(st.query_params.get(STUDY_PARAMETER, ""))
    if named and named not in everything:
        notice(f"There is no study '{named}'.", "bad")
        del st.query_params[STUDY_PARAMETER]
    put_away = any(study.archived for study in everything.values())
    asked = named in everything and everything[named].archived is not None
    with_archived = put_away and st.checkbox("Archived studies too", value=asked, key="archived-too")
    found = {name: study for name, study in everything.items() if with_archived or study.archived is None}
    if not found:
        notice("All studies are archived.")
        return None
    name = _chosen(list(found), named)
    st.session_state["study"] = st.query_params[STUDY_PARAMETER] = name
    return found[name]


def _chosen(names: list[str], named: str) -> str:
    if len(names) == 1:
        st.html(words_and_name("Study:", names[0]))
        return names[0]
    before = named if named in names else st.session_state.get("study")
    index = names.index(before) if before in names else 0
    return st.selectbox("Study", names, index=index, on_change=_forget_address)


def _forget_address() -> None:
    """The choice on the page counts for more than the address that the page was opened by."""
    st.query_params.pop(STUDY_PARAMETER, None)

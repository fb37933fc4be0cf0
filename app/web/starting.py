"""Links to the page that starts runs, for who may start any."""

from __future__ import annotations

import streamlit as st

from app.web.gate import read_only

__all__ = ["start_link"]


def start_link(words: str, **query: str) -> None:
    """Draw a link to the form of a new run, filled in by ``query``; nothing for who may only read."""
    if not read_only():
        st.page_link("runs_page.py", label=words, query_params=query)

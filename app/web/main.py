"""The script that Streamlit runs for every visitor: who they are decides which pages there are; others do not exist."""

from __future__ import annotations

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from app.web.drawing import page_style
from app.web.gate import Visitor, sign_out, signed_in, visitor
from app.web.guard import guarded
from app.web.heads import browse_link

OWNER_PAGES = {
    "operations_page.py": ("Operations", "operations"),
    "checks_page.py": ("Checks", "checks"),
    "runs_page.py": ("Runs", "runs"),
    "studies_page.py": ("Studies", "studies"),
    "new_study_page.py": ("New study", "new"),
    "report_page.py": ("Report", "report"),
}

CHANGING = ("runs", "studies", "new", "report")
"""Pages that start or change something, or tell of raters: not for who may only read."""

BROWSING = ("", "head", "search")
"""Addresses of the page that is not Streamlit's (`app.browsing`): who comes to it here is sent there."""


def main() -> None:
    """Find out who is there, and run their page."""
    st.set_page_config(page_title="headscribe", layout="wide", initial_sidebar_state="collapsed")
    page_style()
    with guarded():
        who = visitor()
        page = _navigation(who)
        if who.owner or who.reader:
            st.set_page_config(page_title=f"{page.title} · headscribe")
            st.html(browse_link())
        page.run()
        if who.owner and signed_in():
            st.button("Sign out", key="sign-out", type="tertiary", on_click=sign_out)


def _navigation(who: Visitor) -> StreamlitPage:
    if who.owner or who.reader:
        browsing = [
            st.Page("browse_page.py", title="Browse", url_path=path or None, default=not path, visibility="hidden")
            for path in BROWSING
        ]
        pages = [
            st.Page(file, title=title, url_path=path)
            for file, (title, path) in OWNER_PAGES.items()
            if who.owner or path not in CHANGING
        ]
        return st.navigation([*browsing, *pages], position="top")
    if who.rater:
        return st.navigation([st.Page("rate_page.py", title="headscribe", default=True)], position="hidden")
    if who.joining:
        return st.navigation([st.Page("join_page.py", title="headscribe", default=True)], position="hidden")
    doors = [st.Page("entry_page.py", title="headscribe", default=True)]
    paths = [path for path in (*BROWSING, *(path for _, path in OWNER_PAGES.values())) if path]
    doors += [st.Page("entry_page.py", title="headscribe", url_path=path) for path in paths]
    return st.navigation(doors, position="hidden")  # who signs in at an owner's page goes on there


main()

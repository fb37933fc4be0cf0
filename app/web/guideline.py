"""The guideline, which a rater can open over the page: nothing behind it takes a key or a click until it is closed."""

from __future__ import annotations

import streamlit as st

from annotations.records import Rater
from annotations.storage import study_of
from app.web.shared import catalogue

__all__ = ["GUIDE", "behind", "guideline"]

GUIDE = "G"

_OPENED = "guideline-opened"


def behind() -> bool:
    """Whether the guideline is open before the page.

    It is from the moment the server heard of it: a key that was pressed before the browser drew it counts for nothing.
    """
    return bool(st.session_state.get(_OPENED))


def guideline(rater: Rater) -> None:
    """Draw the button that opens the guideline, and the guideline while it is open."""
    off = behind()
    st.button("Guideline", key="guideline", shortcut=GUIDE, type="tertiary", on_click=_set, args=(True,), disabled=off)
    if off:
        shown = st.dialog("Guideline", width="large", on_dismiss=lambda: _set(False))(st.markdown)
        shown(study_of(catalogue(), rater).guideline)


def _set(opened: bool) -> None:
    st.session_state[_OPENED] = opened

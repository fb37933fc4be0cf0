"""The UUID under which this browser tab submits something: the same until it was taken, so that twice counts once."""

from __future__ import annotations

import streamlit as st

from annotations.log import new_uuid

__all__ = ["done", "submission"]


def submission(what: str) -> str:
    """The UUID for one submission."""
    return str(st.session_state.setdefault(f"uuid-{what}", new_uuid()))


def done(what: str) -> None:
    """It was answered, whatever the answer: the next of this kind is another."""
    st.session_state.pop(f"uuid-{what}", None)

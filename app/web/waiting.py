"""A rater's call of the desk: while it waits for the database the page says so, and if it waited in vain, too."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import streamlit as st

from annotations.patience import AWAY
from app.web.drawing import notice

__all__ = ["NOT_DONE", "SAVING", "WAITING", "at_desk", "patiently"]

WAITING = "The database is busy. Please wait a moment."
SAVING = "The database is busy: your answer is being saved, please wait."
NOT_DONE = "The database does not answer just now, and nothing was changed. Try again in a moment."

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger("headscribe.app")


def patiently(words: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call the desk; ``words`` stand on the page when that takes longer than half a second."""
    with st.spinner(words):
        return call(*args, **kwargs)


def at_desk(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """Have something done at the desk. If the database could not be had, say so and return None: the page goes on."""
    try:
        return patiently(WAITING, call, *args, **kwargs)
    except AWAY:
        _log.exception("the database could not be had")
        notice(NOT_DONE, "bad")
        return None

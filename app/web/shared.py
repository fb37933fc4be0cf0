"""What all visitors of the app share: the catalogue, the raters' desk, the counts of failed attempts. One each."""

from __future__ import annotations

import os
import threading
from typing import NamedTuple

import streamlit as st

from annotations.access import Attempts
from annotations.rating import RatingDesk
from app.options import DEFAULT_CATALOGUE
from describe.catalog import Catalogue

__all__ = ["Door", "catalogue", "desk", "door", "where"]


class Door(NamedTuple):
    """Failed attempts with codes and with the password; one password is tried at a time, scrypt being dear."""

    codes: Attempts
    passwords: Attempts
    one_at_a_time: threading.Lock


def catalogue() -> Catalogue:
    """The catalogue that the app was started on, with an engine of its own for all sessions."""
    return _catalogue(where())


def desk() -> RatingDesk:
    """Where raters work."""
    return _desk(where())


def door() -> Door:
    """Who failed to get in."""
    return _door(where())


def where() -> str:
    """The place of the catalogue that the app was started on: a file, or a URL that may hold a password."""
    return os.environ.get("HEADSCRIBE_CATALOG") or DEFAULT_CATALOGUE


@st.cache_resource(show_spinner=False)
def _catalogue(where: str) -> Catalogue:
    return Catalogue(where)


@st.cache_resource(show_spinner=False)
def _desk(where: str) -> RatingDesk:
    return RatingDesk(_catalogue(where))


@st.cache_resource(show_spinner=False)
def _door(where: str) -> Door:
    return Door(Attempts(limit=30), Attempts(limit=10, in_all=100), threading.Lock())

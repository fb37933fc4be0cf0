"""Where raters enter themselves by a study's one link: opening it makes nobody a rater, agreeing does."""

from __future__ import annotations

import streamlit as st

from annotations.access import LINK_PARAMETER
from annotations.recruiting import JOIN_PARAMETER, enrol, find_link, joined, places_left
from app.web.before_items import AGREE, what_it_is_about
from app.web.drawing import keys_script, notice
from app.web.gate import browser_name, client
from app.web.questions import SAVE, keys_line
from app.web.shared import catalogue, desk, door
from app.web.submissions import done, submission
from describe.errors import InputError

TOO_MANY = "Many have come from your network just now. Wait five minutes, then try again."
FULL = "This study takes nobody else any more. Thank you for your interest!"


def join() -> None:
    """Draw what a rater would agree to, and let those in who do."""
    keys_script()
    code = st.query_params[JOIN_PARAMETER]
    found = find_link(catalogue(), code)
    if found is None:
        st.stop()
    study, how = found
    external_id = st.query_params.get(how.id_parameter) if how.id_parameter else None
    before = joined(catalogue(), code, external_id, browser_name())
    room, items = places_left(catalogue(), study)
    if before is None and not (how.open and room and items and study.stopped is None):
        st.title("Judging descriptions")
        return notice(FULL)
    if before is None:
        what_it_is_about(study, items)
    else:
        st.title("Welcome back")
        notice("You have begun already, and go on where you were.", "well")
    words = AGREE if before is None else "Go on"
    if st.button(words, key="join", shortcut=SAVE, type="primary"):
        _enter(code, external_id)
    keys_line(others={SAVE: "agree and begin" if before is None else "go on"})


def _enter(code: str, external_id: str | None) -> None:
    if not door().entering.allowed(client()):
        return notice(TOO_MANY, "bad")
    door().entering.failed(client())  # counted, whether or not it succeeds
    try:
        entered = enrol(catalogue(), code, external_id, browser_name())
    except InputError as error:
        return notice(str(error), "bad")
    desk().consent(entered.rater.id, submission("consent"))
    done("consent")
    st.query_params.from_dict({LINK_PARAMETER: entered.code})
    st.rerun()


join()

"""The door: raters enter their code, the owner signs in. All that a visitor finds who is neither."""

from __future__ import annotations

import streamlit as st

from annotations.access import LINK_PARAMETER, LONGEST_PASSWORD, has_password
from app.web.drawing import notice
from app.web.gate import oidc_configured, send_on, sign_in, visitor
from app.web.shared import catalogue


def enter() -> None:
    """Draw the door."""
    st.title("headscribe")
    trouble = visitor().trouble
    if trouble:
        notice(trouble, "bad")
    with st.form("code", border=False):
        code = st.text_input(
            "Your personal code", max_chars=64, autocomplete="off", placeholder="XXXXX-XXXXX-XXXXX-XXXXX"
        )
        if st.form_submit_button("Begin, or go on", type="primary") and code.strip():
            st.query_params[LINK_PARAMETER] = code.strip()
            st.rerun()
    with st.expander("For the owner of the studies"):
        _owner()


def _owner() -> None:
    if oidc_configured():
        if st.user.get("is_logged_in"):
            notice("You are signed in, but not among the owners of this app.", "bad")
            st.button("Sign out", on_click=st.logout)
        elif st.button("Sign in"):
            st.login()
    if has_password(catalogue()):
        with st.form("password", border=False):
            password = st.text_input(
                "Password", type="password", max_chars=LONGEST_PASSWORD, autocomplete="current-password"
            )
            pressed = st.form_submit_button("Sign in with the password")
        if pressed and password:
            problem = sign_in(password)
            if problem:
                notice(problem, "bad")
            else:
                st.query_params.pop(LINK_PARAMETER, None)
                send_on()
                st.rerun()
    elif not oidc_configured():
        notice(
            "These pages open by the link that headscribe app printed where it was started, a new one at each start. "
            "To sign in with a password instead, set one: headscribe app --set-password."
        )


enter()

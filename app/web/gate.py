"""Who a visitor is: a rater by the code in the link, the owner, or nobody yet. Asked anew at every run of a page.

The code stays in the link: Streamlit keeps nothing else that outlives a reload, and a link that works again tomorrow
and on another device is what a rater needs. A visitor with a code in the link is that rater and nothing else, whoever
they are otherwise.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import streamlit as st

from annotations.access import LINK_PARAMETER, code_hash, find_rater, has_password, verify_password
from annotations.records import Rater
from app.addresses import is_loopback, named_in
from app.web.shared import catalogue, door

__all__ = [
    "Visitor",
    "oidc_configured",
    "require_owner",
    "require_rater",
    "sign_in",
    "sign_out",
    "signed_in",
    "visitor",
]

TOO_MANY = "There were too many failed attempts from your address. Wait five minutes, then try again."
UNKNOWN = "This code is not known, or not valid any more. Look whether it is complete, or ask who invited you."


@dataclass(frozen=True, slots=True)
class Visitor:
    """A rater, the owner, or neither and what there is to say about it."""

    rater: Rater | None = None
    owner: bool = False
    trouble: str = ""


def visitor() -> Visitor:
    """Who is there, by what the browser sent and what the session proved."""
    code = st.query_params.get(LINK_PARAMETER)
    return _by_code(code) if code else Visitor(owner=_is_owner())


def require_rater() -> Rater:
    """The rater; nothing more of the page runs for anybody else."""
    found = visitor().rater
    if found is None:
        st.stop()
    return found


def require_owner() -> None:
    """Nothing more of the page runs for anybody but the owner."""
    if not visitor().owner:
        st.stop()


def sign_in(password: str) -> str:
    """Let the owner in for this session, or say why not."""
    here = door()
    with here.one_at_a_time:
        if not here.passwords.allowed(_client()):
            return TOO_MANY
        if not verify_password(catalogue(), password):
            here.passwords.failed(_client())
            return "This is not the password."
    st.session_state["owner"] = True
    return ""


def signed_in() -> bool:
    """Whether the owner proved who they are, and may want to leave."""
    return bool(st.session_state.get("owner") or st.user.get("is_logged_in"))


def sign_out() -> None:
    """Forget that this session is the owner's."""
    st.session_state.clear()
    if st.user.get("is_logged_in"):
        st.logout()


def oidc_configured() -> bool:
    """Whether there is a login at an identity provider: ``[auth]`` in Streamlit's secrets."""
    return st.user.get("is_logged_in") is not None


def _by_code(code: str) -> Visitor:
    """A session tries each code once; after that only whether it is still valid is looked up."""
    known = st.session_state.setdefault("codes_tried", {})
    name, codes = code_hash(code), door().codes
    if name not in known and not codes.allowed(_client()):
        return Visitor(trouble=TOO_MANY)
    found = find_rater(catalogue(), code)
    if found is None and known.get(name) is not False:
        codes.failed(_client())
    known[name] = found is not None
    return Visitor(rater=found, trouble="" if found else UNKNOWN)


def _is_owner() -> bool:
    if st.session_state.get("owner"):
        return True
    user = st.user
    if user.get("is_logged_in"):
        verified = user.get("email_verified") is not False
        return verified and str(user.get("email") or "").casefold() in named_in(os.environ.get("HEADSCRIBE_OWNERS", ""))
    return _open_here()


def _open_here() -> bool:
    """Whether nobody need prove anything: the app listens on this machine alone, and was asked for from it, directly.

    A page of somebody else's, a name that points here, or a proxy on this machine would carry another host or a trace.
    """
    if has_password(catalogue()) or oidc_configured() or not is_loopback(st.get_option("server.address") or ""):
        return False
    headers = st.context.headers
    traces = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via")
    return is_loopback(_host_name(headers.get("Host", ""))) and not any(headers.get(trace) for trace in traces)


def _host_name(host: str) -> str:
    """``localhost:8501`` and ``[::1]:8501`` without the port."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _client() -> str:
    return st.context.ip_address or "this machine"

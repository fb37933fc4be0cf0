"""Who a visitor is: a rater by the code in the link, the owner, or nobody yet. Asked anew at every run of a page.

The code stays in the link: Streamlit keeps nothing else that outlives a reload, and a link that works again tomorrow
and on another device is what a rater needs. A visitor with a code in the link is that rater and nothing else, whoever
they are otherwise.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import streamlit as st
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.scriptrunner import get_script_run_ctx

from annotations.access import LINK_PARAMETER, code_hash, find_rater, has_password, password_mark, verify_password
from annotations.records import Rater
from annotations.recruiting import JOIN_PARAMETER, find_link
from app.addresses import READ_ONLY, named_in, network_of
from app.browsing.owner import login_proof, owns
from app.front_door.ownership import LEAVE, TOKEN_PARAMETER, ownership, same
from app.front_door.visits import OWNER, VISIT_HEADER, visits
from app.web.shared import catalogue, door

__all__ = [
    "Visitor",
    "browser_name",
    "client",
    "oidc_configured",
    "read_only",
    "require_owner",
    "require_rater",
    "require_reader",
    "send_on",
    "sign_in",
    "sign_out",
    "signed_in",
    "visitor",
]

TOO_MANY = "There were too many failed attempts from your address. Wait five minutes, then try again."
UNKNOWN = "This code is not known, or not valid any more. Look whether it is complete, or ask who invited you."


@dataclass(frozen=True, slots=True)
class Visitor:
    """A rater, the owner, or neither and what there is to say about it.

    ``joining``: by a link for all; ``reader``: anybody, where the app is served to be read.
    """

    rater: Rater | None = None
    joining: bool = False
    reader: bool = False
    owner: bool = False
    trouble: str = ""


def visitor() -> Visitor:
    """Who is there, by what the browser sent and what the session proved; the front door is told."""
    who = _who()
    account = f"rater {who.rater.id}" if who.rater else OWNER if who.owner else ""
    visits().known(st.context.headers.get(VISIT_HEADER, ""), account)
    return who


def require_rater() -> Rater:
    """The rater; nothing more of the page runs for anybody else."""
    found = visitor().rater
    if found is None:
        st.stop()
    return found


def require_reader() -> None:
    """Nothing more of the page runs for anybody but the owner and those who may read."""
    found = visitor()
    if not (found.owner or found.reader):
        st.stop()


def require_owner() -> None:
    """Nothing more of the page runs for anybody but the owner."""
    if not visitor().owner:
        st.stop()


def read_only() -> bool:
    """Whether the app is served to be read: there is no owner then, and no rater."""
    return bool(os.environ.get(READ_ONLY))


def sign_in(password: str) -> str:
    """Let the owner in for this session, or say why not."""
    attempts, client, mark = door().passwords, (_client(), _browser()), password_mark(catalogue())
    with door().one_at_a_time:
        if not attempts.allowed(*client):
            return TOO_MANY
        if not verify_password(catalogue(), password):
            attempts.failed(*client)
            return "This is not the password."
    attempts.succeeded(_browser())
    st.session_state["owner"] = mark
    return ""


def signed_in() -> bool:
    """Whether the owner signed in, and may want to leave. Whoever came by the link has nothing to leave."""
    return bool(st.user.get("is_logged_in")) or has_password(catalogue())


def sign_out() -> None:
    """Forget that this session and this browser are the owner's."""
    st.session_state.clear()
    _redirect(urljoin(urlsplit(st.context.url or "/").path, LEAVE.lstrip("/")))


def oidc_configured() -> bool:
    """Whether there is a login at an identity provider: ``[auth]`` in Streamlit's secrets."""
    return st.user.get("is_logged_in") is not None


def send_on(address: str | None = None) -> None:
    """Have the browser leave for an address of this app, that of the page itself where none is given; the owner's with
    a ticket for the cookie by which they are known from then on."""
    parts = urlsplit(st.context.url or "/")
    if address is None:
        path, query = parts.path, [(name, value) for name in st.query_params for value in st.query_params.get_all(name)]
    else:
        path, given = urljoin(parts.path, urlsplit(address).path or "./"), urlsplit(address).query
        query = parse_qsl(given, keep_blank_values=True)
    if not read_only():
        query = [*query, (TOKEN_PARAMETER, ownership().ticket(_proof()))]
    _redirect(f"{path}?{urlencode(query)}")


def _redirect(address: str) -> None:
    """Have the browser leave for an address: the message that Streamlit's own login sends."""
    context = get_script_run_ctx()
    if context is not None:
        message = ForwardMsg()
        message.auth_redirect.url = address
        context.enqueue(message)


def _proof() -> str:
    """By what this session's owner is known."""
    if st.user.get("is_logged_in"):
        return login_proof(str(st.user.get("email") or ""))
    return password_mark(catalogue()) or ""


def _who() -> Visitor:
    if read_only():
        return Visitor(reader=True)
    code = st.query_params.get(LINK_PARAMETER)
    if code:
        return _by_code(code)
    joining = st.query_params.get(JOIN_PARAMETER)
    return _by_link(joining) if joining else Visitor(owner=_is_owner())


def _by_code(code: str) -> Visitor:
    """Whose code this is. A session's wrong code is counted once; who has the right one is always let in."""
    found = find_rater(catalogue(), code)
    return _failed_code(code) if found is None else Visitor(rater=found)


def _by_link(code: str) -> Visitor:
    """Whether raters can enter by this link. A wrong one counts as a wrong code."""
    return _failed_code(code) if find_link(catalogue(), code) is None else Visitor(joining=True)


def _failed_code(code: str) -> Visitor:
    tried, told = st.session_state.get("code_tried", ("", ""))
    if tried != code_hash(code):
        codes = door().codes
        told = UNKNOWN if codes.allowed(_client()) else TOO_MANY
        codes.failed(_client())
        st.session_state["code_tried"] = (code_hash(code), told)
    return Visitor(trouble=told)


def _is_owner() -> bool:
    user = st.user
    if user.get("is_logged_in"):
        verified = user.get("email_verified") is not False
        if verified and str(user.get("email") or "").casefold() in named_in(os.environ.get("HEADSCRIBE_OWNERS", "")):
            return True
    if owns(_cookie(ownership().cookie_name)):
        return True
    proof = _owners_proof()
    if _came_by_the_link():
        st.session_state["owner"] = ownership().token
    return proof is not None and same(str(st.session_state.get("owner", "")), proof)


def _owners_proof() -> str | None:
    """Proofs of a session of the owner's: knowing the password if there is one, else the link with the token.

    None where the owner is known by a login at an identity provider and by nothing else.
    """
    mark = password_mark(catalogue())
    return mark if mark or oidc_configured() else ownership().token


def _came_by_the_link() -> bool:
    """Whether the browser keeps the proof that the front door gives, or the token itself stands in the address."""
    mine = ownership()
    given = st.query_params.get(TOKEN_PARAMETER)
    if given is not None:
        del st.query_params[TOKEN_PARAMETER]
    return (given is not None and mine.admits(given)) or mine.keeps(_cookie(mine.cookie_name))


def _client() -> str:
    """The place that a visitor comes from."""
    return network_of(st.context.ip_address or "")


def _browser() -> str:
    """The name that the front door gave the visitor's browser."""
    return _cookie(ownership().browser_name)


def browser_name() -> str:
    """The name that the front door gave the visitor's browser; empty for one without cookies."""
    return _browser()


def client() -> str:
    """The place that the visitor comes from."""
    return _client()


def _cookie(name: str) -> str:
    return str(st.context.cookies.get(name, ""))

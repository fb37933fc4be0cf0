"""Whether a browser is the owner's: by a cookie that says how the owner is known, and ends with that."""

from __future__ import annotations

import os

from annotations.access import password_mark
from app.addresses import READ_ONLY, named_in
from app.front_door.ownership import ownership
from app.web.shared import catalogue

__all__ = ["login_configured", "login_proof", "owns"]


def owns(cookie: str) -> bool:
    """Whether this cookie is of a browser that came by the link, or where the owner signed in.

    Where the app is served to be read, anybody may browse.
    """
    return bool(os.environ.get(READ_ONLY)) or any(ownership().keeps(cookie, proof) for proof in _proofs())


def login_proof(email: str) -> str:
    """The proof that an owner signed in at an identity provider."""
    return f"login {email.casefold()}"


def login_configured() -> bool:
    """Whether there is a login at an identity provider: ``[auth]`` in Streamlit's secrets."""
    from streamlit.runtime.secrets import secrets_singleton

    return secrets_singleton.load_if_toml_exists() and "auth" in secrets_singleton


def _proofs() -> list[str]:
    """By what the owner may be known: the password if there is one, a login; only without both the link."""
    mark = password_mark(catalogue())
    proofs = [mark] if mark else []
    if login_configured():
        proofs += [login_proof(email) for email in named_in(os.environ.get("HEADSCRIBE_OWNERS", ""))]
    elif not mark:
        proofs.append("")
    return proofs

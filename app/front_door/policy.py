"""The server's policy: the headers of its answers, and whose pages may open a connection."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

__all__ = ["is_own_origin", "origin_of", "security_headers"]

_PORTS = {"http": 80, "https": 443}

_FORBIDDEN = ("camera", "display-capture", "geolocation", "gyroscope", "microphone", "midi", "payment", "usb")


def security_headers() -> list[tuple[bytes, bytes]]:
    """The headers of every answer.

    Styles are made by scripts all over Streamlit, and charts are drawn by functions that Vega makes of text: hence
    ``unsafe-inline`` for the former and ``unsafe-eval`` for the latter. No script but Streamlit's own is run.
    """
    rules = {
        "default-src": "'none'",
        "script-src": " ".join(["'self'", "'unsafe-eval'", *_inline_scripts()]),
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "connect-src": "'self'",
        "media-src": "'self'",
        "worker-src": "'self' blob:",
        "manifest-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    named = {
        "content-security-policy": "; ".join(f"{name} {value}" for name, value in rules.items()),
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": ", ".join(f"{name}=()" for name in _FORBIDDEN),
        "referrer-policy": "no-referrer",  # addresses hold codes
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
    }
    return [(name.encode(), value.encode()) for name, value in named.items()]


def origin_of(url: str) -> str:
    """The origin of an address, as browsers write it; empty for what is no address of the web."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    if parts.scheme not in _PORTS or not parts.hostname:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, _PORTS[parts.scheme]) else "")


def is_own_origin(origin: str, host: str, public: str) -> bool:
    """Whether a page of this origin is ours: it has the host and port that was asked for, or is the ``public`` one.

    The scheme may be another: a proxy takes TLS off. So may a port be left out that goes without saying.
    """
    own = origin_of(origin)
    return bool(own) and own in (public, origin_of(f"{urlsplit(own).scheme}://{host}"))


def _inline_scripts() -> Iterator[str]:
    """The hashes of the scripts within Streamlit's page."""
    import streamlit

    page = Path(streamlit.__file__).parent / "static" / "index.html"
    for script in re.findall(r"<script>(.*?)</script>", page.read_text(encoding="utf-8"), re.DOTALL):
        yield f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"

"""Keys and passwords that must not be shown or stored, and how texts are rid of them.

Whoever takes up a secret has it kept here: `keep_secret`, `keep_secrets_of` an address, `keep_secrets_of_environment`.
From then on `redacted` takes it out of every text that is shown or stored, however it is written: as it is, as part of
something in base64 (a header of Basic authentication), in hexadecimal, or with escapes of URLs, JSON, Python or HTML.
"""

from __future__ import annotations

import html
import os
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from functools import lru_cache
from urllib.parse import unquote

from describe.providers import PROVIDERS

__all__ = ["keep_secret", "keep_secrets_of", "keep_secrets_of_environment", "redacted", "shown_url"]

SHORTEST = 8
"""Shorter ones, such as the "none" of a server without keys, are words that texts may well hold."""

HIDDEN = "***"

LAYERS = 3
"""So many layers of escapes are looked under, such as those of JSON in JSON in an address."""

_KEYS = (
    *(row.key for row in PROVIDERS.values() if row.key),
    *("OPENAI_ADMIN_KEY", "ANTHROPIC_AUTH_TOKEN", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "PGPASSWORD"),
)
_ADDRESSES = (
    *(row.address for row in PROVIDERS.values() if row.address),
    *("HEADSCRIBE_CATALOG", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"),
)
_HEADERS = ("OPENAI_CUSTOM_HEADERS", "ANTHROPIC_CUSTOM_HEADERS")
"""Lines ``Name: value`` that the providers' packages send along."""

_WEB_USER = re.compile(r"(?:https?|socks\w*)://(?P<user>[^:@/?#]*)(?::(?P<password>[^/?#]*))?@", re.I)
_DATABASE_USER = re.compile(r"[^:/?#]+://(?P<user>[^:@/?#]*):(?P<password>[^@]*(?:@[^@/?#]*(?=@))*)@")
"""SQLAlchemy takes a slash in a password for part of it."""

_PARAMETER = re.compile(r"(?P<before>[?&;](?P<name>[^=&;#]*)=)(?P<value>[^&;#]*)")
_TELLING = re.compile(
    r"(password|passwd|passphrase|pwd|secret|token|signature|authorization|cookie|credentials?)$"
    r"|(^|[-_.])(key|apikey|pass|sig|auth)$",
    re.I,
)
"""Names of parameters and headers whose values are secret."""

_BACKSLASHED = re.compile(r"\\u([0-9a-f]{4})|\\x([0-9a-f]{2})|\\([^ux])", re.I)

_kept: frozenset[str] = frozenset()


def keep_secret(secret: str | None) -> None:
    """From now on this is in no text that `redacted` gives back. What is too short to be told from a word may be."""
    global _kept
    secret = (secret or "").strip()
    if len(secret) >= SHORTEST and secret not in _kept:
        _kept |= {secret}


def keep_secrets_of(url: str | None) -> None:
    """Keep what is secret in an address, malformed or not: user and password, and parameters by their names.

    A user of the web without a password is a token.
    """
    url = (url or "").strip()
    found = _WEB_USER.match(url) or _DATABASE_USER.match(url)
    if found is not None:
        user, password = unquote(found["user"]), unquote(found["password"] or "")
        keep_secret(password or user)
        keep_secret(f"{user}:{password}")
        keep_secret(b64encode(f"{user}:{password}".encode()).decode())  # as Basic authentication sends it
    for parameter in _PARAMETER.finditer(url):
        if _TELLING.search(parameter["name"]):
            keep_secret(unquote(parameter["value"]))


def keep_secrets_of_environment() -> None:
    """Keep the keys of the environment, and what is secret in its addresses."""
    for name in _KEYS:
        keep_secret(os.environ.get(name))
    for name in _ADDRESSES:
        keep_secrets_of(os.environ.get(name))
        keep_secrets_of(os.environ.get(name.lower()))
    for line in (line for name in _HEADERS for line in os.environ.get(name, "").splitlines()):
        name, _, value = line.partition(":")
        if _TELLING.search(name.strip()):
            keep_secret(value)
            keep_secret(value.rpartition(" ")[2])


def shown_url(url: str) -> str:
    """An address, or the path of a file, as people are shown it: without a password, or another secret in it."""
    found = _WEB_USER.match(url) or _DATABASE_USER.match(url)
    if found is not None:
        shown = HIDDEN if found["password"] is None else f"{found['user']}:{HIDDEN}"
        url = f"{url[: found.start('user')]}{shown}@{url[found.end() :]}"
    if "://" not in url:
        return url
    return _PARAMETER.sub(
        lambda parameter: parameter["before"] + HIDDEN if _TELLING.search(parameter["name"]) else parameter[0], url
    )


def redacted(text: str) -> str:
    """A text without the secrets that are kept. Where one is under too many escapes, nothing of the text is left."""
    if not _kept or len(text) < SHORTEST:
        return text
    written = _written(_kept)
    if _holds(text, written):
        for form in written:
            text = text.replace(form, HIDDEN)
    if _hides(text, written):
        text = _escaped(_kept).sub(HIDDEN, text)
        return HIDDEN if _hides(text, written) else text
    return text


def _holds(text: str, written: tuple[str, ...]) -> bool:
    return any(form in text for form in written)


def _hides(text: str, written: tuple[str, ...]) -> bool:
    """Whether a text holds a secret under escapes."""
    for _ in range(LAYERS):
        before = text
        for mark, without_escapes in _ESCAPES.items():
            if mark in text:
                text = without_escapes(text)
                if _holds(text, written):
                    return True
        if text == before:
            return False
    return False


def _without_backslashes(text: str) -> str:
    return _BACKSLASHED.sub(lambda found: found[3] or chr(int(found[1] or found[2], 16)), text)


_ESCAPES: dict[str, Callable[[str], str]] = {"%": unquote, "&": html.unescape, "\\": _without_backslashes}
"""By the character that escapes begin with: how a text is rid of them."""


@lru_cache(maxsize=4)
def _written(secrets: frozenset[str]) -> tuple[str, ...]:
    """How secrets are written without escapes, the longest first: no part is replaced before its whole."""
    forms = set(secrets)
    for content in (secret.encode("utf-8", "surrogateescape") for secret in secrets):
        forms |= {content.hex(), content.hex().upper()}
        for encode in (b64encode, urlsafe_b64encode):
            forms |= {encode(content).decode(), *_within_base64(content, encode)}
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))


def _within_base64(content: bytes, encode: Callable[[bytes], bytes]) -> Iterator[str]:
    """The characters that bytes come to in the middle of a longer base64, where they begin at any of three places."""
    for place, first in enumerate((0, 2, 3)):
        yield encode(b"\0" * place + content).decode()[first : (place + len(content)) * 8 // 6]


@lru_cache(maxsize=4)
def _escaped(secrets: frozenset[str]) -> re.Pattern[str]:
    """Secrets of which any character may be escaped, once."""
    return re.compile("|".join("".join(map(_any_escape, form)) for form in _written(secrets)), re.I)


@lru_cache(maxsize=512)
def _any_escape(character: str) -> str:
    code = ord(character)
    ways = {re.escape(character), re.escape("\\" + character), re.escape(html.escape(character))}
    ways.add("".join(f"%{byte:02x}" for byte in character.encode("utf-8", "surrogateescape")))
    ways |= {rf"\\u{code:04x}", rf"\\x{code:02x}", f"&#0*{code};", f"&#x0*{code:x};"}
    return f"(?:{'|'.join(sorted(ways))})"

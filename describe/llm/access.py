"""Where a provider's server is and by which key, as the environment says."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from describe.errors import LLMError
from describe.providers import WAYS, Provider
from describe.secrets import keep_secret, keep_secrets_of

__all__ = ["access", "endpoint_of"]


def access(row: Provider) -> tuple[str, str]:
    """The endpoint and the key. A server of one's own may need no key. Raises `LLMError` for what cannot be either."""
    key_name, address = row.key or "", row.address or ""
    url = os.environ.get(address, "").strip()
    key = os.environ.get(key_name, "").strip() or ("none" if url else "")
    if not key:
        raise LLMError(f"{key_name} is not set. The ways to name an LLM: {WAYS}")
    keep_secret(key)
    keep_secrets_of(url)
    for name in (key_name, *row.headers):
        if not all("!" <= character <= "~" for character in os.environ.get(name, "").strip()):
            raise LLMError(f"{name} holds a character that no key has: a space, or one that is not ASCII")
    if url and not _is_web_address(url):
        ending = ", and ends with /v1" if (row.official or "").endswith("/v1") else ""
        raise LLMError(
            f"{address} is not a web address: it starts with http:// or https://, names a host and perhaps a"
            f" port{ending}"
        )
    return url or row.official or "", key


def endpoint_of(row: Provider) -> str:
    """The endpoint as provenance has it: without a user, a password or a query. Raises `LLMError` as `access` does."""
    parts = urlsplit(access(row)[0])
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"


def _is_web_address(url: str) -> bool:
    """Whether a request can go there: it is read as those read it that will send one."""
    from yarl import URL

    try:
        parts, read = urlsplit(url), URL(url)
        sendable = url.isprintable() and " " not in url and parts.port != 0
        return sendable and parts.scheme in ("http", "https") and bool(parts.hostname and read.host)
    except ValueError:
        return False

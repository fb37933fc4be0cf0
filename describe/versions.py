"""Which versions made a result."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

__all__ = ["headscribe_version", "versions"]


@cache
def headscribe_version() -> str:
    """The installed version of headscribe."""
    try:
        return version("headscribe")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0+unknown"


def versions(*packages: str) -> dict[str, str]:
    """The versions of headscribe, Python and the named packages, for a result's provenance."""
    return {"headscribe": headscribe_version(), "python": platform.python_version()} | {
        package: version(package) for package in packages
    }

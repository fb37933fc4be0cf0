"""Debian's Chromium, driven by Playwright: for tests, and for benchmarks that look at pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["PACKAGE", "chromium", "installed"]

PACKAGE = "Debian's package chromium-headless-shell, or chromium"


def installed() -> str | None:
    """Where it is. That without windows of its own goes first: pages take it less than half the processor time."""
    return shutil.which("chromium-headless-shell") or shutil.which("chromium")


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser; Playwright's event loop runs in this thread for as long."""
    from playwright.sync_api import sync_playwright

    path = installed()
    if path is None:
        raise SystemExit(f"this needs {PACKAGE}")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield launched
        launched.close()

"""The JSON object in an LLM's reply. A reply may be anything: reading it takes bounded time, and fails in one way."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import json_repair
from pydantic import ValidationError

from describe.text import shortened

__all__ = ["LONGEST", "first_reason", "reply_object", "without_thinking"]

LONGEST = 1_000_000
"""Characters of the longest reply that is read, thinking included: some hundred thousand tokens."""

LONGEST_MENDED = 8_000
"""Characters of the longest broken JSON that is repaired: more than any answer asked for has."""

MENDING = 0.2
"""Seconds of CPU time that a repair may take; common ones take a few thousandths."""

_THINKING = re.compile(r"[^{]*?<think>.*?(</think>|\Z)", re.DOTALL | re.IGNORECASE)
"""Thinking comes before an answer. Within one, ``<think>`` is a token that is spoken of."""


def reply_object(text: str, key: str) -> dict[str, Any]:
    """The JSON object with this key in a reply, wherever in it; slightly broken JSON is repaired.

    Raises ValueError, and nothing else, with a reason that can be sent back to the LLM.
    """
    if len(text) > LONGEST:
        raise ValueError(f"the reply has {len(text):,} characters, and {LONGEST:,} is the most that is read")
    text = without_thinking(text)
    start, end = text.find("{"), text.rfind("}")
    reason = "the reply holds no JSON object"
    if start < 0 or end < start:  # JSON that ends too early is not repaired: what is missing would be made up
        raise ValueError(reason)
    for candidate in dict.fromkeys(text[first : end + 1] for first in (start, text.rfind("{"))):
        try:
            found = _parsed(candidate)
        except ValueError as error:
            reason = str(error)
            continue
        if isinstance(found, list):
            found = next((item for item in reversed(found) if isinstance(item, dict)), None)
        if isinstance(found, dict) and key in found:
            return found
    raise ValueError(reason)


def without_thinking(text: str) -> str:
    """A reply from where its thinking ends."""
    start = 0
    while thought := _THINKING.match(text, start):
        start = thought.end()
    return text[start:]


def first_reason(error: ValidationError) -> str:
    """The first thing that is wrong with an answer's fields: ``the field rows.3.row: Field required``."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"the field {shortened('.'.join(map(str, first['loc'])))}: {first['msg']}"


def _parsed(text: str) -> Any:
    """JSON, repaired if need be. Raises ValueError when it cannot be had, or not in time."""
    try:
        return json.loads(text, strict=False)
    except RecursionError:
        raise ValueError("its JSON is nested too deeply") from None
    except ValueError:
        if len(text) > LONGEST_MENDED:
            raise ValueError("its JSON is broken, and too long to be repaired") from None
    try:
        with _cpu_limit(MENDING):
            return json_repair.loads(text, skip_json_loads=True)
    except Exception:  # the repair fails in many ways on what is no JSON at all
        raise ValueError("its JSON is broken, and cannot be repaired") from None


class _OutOfTimeError(Exception):
    """A computation took longer than it may."""


@contextmanager
def _cpu_limit(seconds: float) -> Iterator[None]:
    """Raise an error in what is computed here, in Python, for longer than this; the clock is read at every call in it.

    json_repair takes time that grows with the square of some texts' length, and doubles with each bracket of others.
    """
    end = time.thread_time() + seconds
    before = sys.getprofile()

    def look(*_: Any) -> None:
        if time.thread_time() > end:
            raise _OutOfTimeError

    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(before)

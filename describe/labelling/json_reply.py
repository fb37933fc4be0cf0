"""The JSON object in an LLM's reply. A reply may be anything: reading it takes bounded time, and fails in one way."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import json_repair
from pydantic import ValidationError

from describe.text import shortened

__all__ = ["LONGEST", "first_reason", "once_each", "reply_object", "without_thinking"]

T = TypeVar("T")

LONGEST = 1_000_000
"""Characters of the longest reply that is read, thinking included: some hundred thousand tokens."""

LONGEST_MENDED = 8_000
"""Characters of the longest broken JSON that is repaired: more than any answer asked for has."""

MENDING = 0.2
"""Seconds of CPU time that a repair may take; common ones take a few thousandths."""

_THINKING = re.compile(
    r"[^{]*?(?:<(?P<tag>think|thinking|thought|reasoning|reflection|seed:think)>.*?(?:</(?P=tag)>|\Z)"
    r"|\[THINK\].*?(?:\[/THINK\]|\Z)"
    r"|◁think▷.*?(?:◁/think▷|\Z)"
    r"|<\|begin_of_thought\|>.*?(?:<\|end_of_thought\|>|\Z))",
    re.DOTALL | re.IGNORECASE,
)
"""Thinking comes before an answer. Within one, ``<think>`` is a token that is spoken of."""

_CHANNEL = re.compile(
    r"\s*(?:<\|start\|>[^<{]*)?<\|channel\|>\s*(?P<channel>\w*)[^<{]*(?:<\|constrain\|>[^<{]*)?<\|message\|>"
)
"""The head of a message of gpt-oss: a reply may hold one on the channel ``analysis`` before that on ``final``."""

_BARE_CHANNELS = re.compile(r"\s*analysis.*assistantfinal(?=\s*[{`])", re.DOTALL)
"""Heads of such messages from a server that leaves out the marks, but not the words between them."""

_BRACED = re.compile(r"\{[^{}\"]*\}")
"""Words in braces, which are no object: it would have keys in quotes."""

_LINE_ENDS = re.compile(r"[ \t]*(?:\r?\n|```|\Z)")

_ENDED = re.compile(r"<\|(?:end|return|call|im_end|eot_id)\|>")


def reply_object(text: str, key: str, strings: Sequence[str] = ()) -> dict[str, Any]:
    """The JSON object with this key in a reply, wherever in it; slightly broken JSON is repaired where that loses
    nothing of what it says.

    ``strings``: the keys of an object of strings alone, as asked for.

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
            found = _parsed(candidate, strings)
        except ValueError as error:
            reason = str(error)
            continue
        if isinstance(found, list):
            found = next((item for item in reversed(found) if isinstance(item, dict)), None)
        if isinstance(found, dict) and key in found:
            return found
    among_prose = [found for found in _among_prose(text) if key in found]
    if among_prose:
        return among_prose[-1]
    raise ValueError(reason)


def without_thinking(text: str) -> str:
    """A reply from where its thinking ends, without the marks of channels."""
    start = 0
    while True:
        if channel := _CHANNEL.match(text, start):
            start = channel.end()
            ended = _ENDED.search(text, start)
            if channel["channel"] != "final" and ended:
                start = ended.end()
        elif thought := _THINKING.match(text, start) or _BARE_CHANNELS.match(text, start):
            start = thought.end()
        else:
            return _after_unopened(text[start:])


def _after_unopened(text: str) -> str:
    """A reply of which the beginning was thinking that a prompt's template had opened already."""
    before, closed, after = text.rpartition("</think>")
    thought = closed and not before.lstrip().startswith(("{", "```")) and after.lstrip().startswith(("{", "```"))
    return after if thought else text


def once_each(
    text: str, name: str, n: int, items: Callable[[object], Sequence[T]], number: Callable[[T], int]
) -> list[T]:
    """The items of a reply's list ``name``, in order of their numbers, of which each from 1 to n must be there once.

    ``items`` makes items of the list, raising `ValidationError`; ``number`` is an item's. Raises ValueError with a
    reason that can be sent back to the LLM.
    """
    listed = reply_object(text, name)[name]
    once = ValueError(f"each of the {name} 1 to {n} must be there once")
    if isinstance(listed, list) and len(listed) > n:
        raise once
    try:
        found = items(listed)
    except ValidationError as error:
        raise ValueError(first_reason(error)) from error
    if sorted(map(number, found)) != list(range(1, n + 1)):
        raise once
    return sorted(found, key=number)


def first_reason(error: ValidationError) -> str:
    """The first thing that is wrong with an answer's fields: ``the field rows.3.row: Field required``."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"the field {shortened('.'.join(map(str, first['loc'])))}: {first['msg']}"


def _parsed(text: str, strings: Sequence[str]) -> Any:
    """JSON, repaired if need be. Raises ValueError when it cannot be had, or not in time."""
    try:
        return json.loads(text, strict=False)
    except RecursionError:
        raise ValueError("its JSON is nested too deeply") from None
    except ValueError:
        if len(text) > LONGEST_MENDED:
            raise ValueError("its JSON is broken, and too long to be repaired") from None
    if strings and (quoted := _with_quotes(text, strings)) is not None:
        return quoted
    try:
        with _cpu_limit(MENDING):
            found = json_repair.loads(text, skip_json_loads=True)
            whole = _is_whole(found, text)
    except Exception:  # the repair fails in many ways on what is no JSON at all
        raise ValueError("its JSON is broken, and cannot be repaired") from None
    if not whole:
        raise ValueError("its JSON is broken: are quotes within strings escaped?")
    return found


def _among_prose(text: str) -> Iterator[dict[str, Any]]:
    """The well-formed objects of a reply that speaks of things in braces as well, up to the first broken one.

    One that does not end with its line may be the stump of an object whose strings have quotes and braces in them.
    """
    start, decoder = text.find("{"), json.JSONDecoder(strict=False)
    while start >= 0:
        if prose := _BRACED.match(text, start):
            end = prose.end()
        else:
            try:
                found, end = decoder.raw_decode(text, start)
            except (ValueError, RecursionError):
                return
            if not _LINE_ENDS.match(text, end):
                return
            yield found
        start = text.find("{", end)


def _with_quotes(text: str, keys: Sequence[str]) -> dict[str, str] | None:
    """A flat object of strings under these keys, in their order, whose strings may hold quotes that are not escaped;
    None where it is something else, or could be read in two ways."""
    marks = [rf'"{re.escape(key)}"\s*:\s*"' for key in keys]
    ends = [rf'"\s*,\s*{mark}' for mark in marks[1:]]
    found: dict[str, str] = {}
    opened = re.compile(rf"\{{\s*{marks[0]}").match(text)
    closed = re.compile(r'"\s*,?\s*\}\s*\Z').search(text, opened.end() if opened else 0)
    if opened is None or closed is None:
        return None
    start = opened.end()
    for key, end in zip(keys, [*ends, None], strict=True):
        places = [closed] if end is None else list(re.finditer(end, text[: closed.start() + 1]))
        if len(places) != 1 or places[0].start() < start:
            return None
        written = text[start : places[0].start()]
        escaped = re.sub(r'\\.|"', lambda part: part[0] if len(part[0]) > 1 else '\\"', written, flags=re.DOTALL)
        try:
            found[key] = json.loads(f'"{escaped}"', strict=False)
        except ValueError:
            return None
        start = places[0].end()
    return found


def _is_whole(found: object, text: str) -> bool:
    """Whether a repair kept all that is said: every character but those of JSON itself, and every quoted string."""
    said: list[str] = []
    n_strings, n_keys, todo = 0, 0, [found]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            n_keys += len(value)
            todo.extend(part for item in reversed(value.items()) for part in (item[1], _Key(item[0])))
        elif isinstance(value, list):
            todo.extend(reversed(value))
        elif isinstance(value, str):
            said.append(value)
            n_strings += not isinstance(value, _Key)
        else:
            said.append(json.dumps(value))
    quotes = len(re.findall(r'"', re.sub(r"\\.", "", text, flags=re.DOTALL)))
    return quotes in (0, 2 * n_strings, 2 * (n_strings + n_keys)) and _bare("".join(said)) == _bare(_unescaped(text))


class _Key(str):
    """A key of an object, among its values."""


def _bare(text: str) -> str:
    """A text without white space and what JSON is written with."""
    return re.sub(r"[\s{}\[\]:,\"'`\\]", "", text).casefold()


def _unescaped(text: str) -> str:
    """A text with what its escapes stand for."""
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), text)
    return re.sub(r"\\([bfnrt])", " ", text)


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

"""Kinds of values that records are made of, and how one from a file is checked.

The checks are pydantic's, which is loaded only where something is checked: importing this module is quick.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial
from operator import eq
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

from describe.text import keepable

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

__all__ = [
    "Cause",
    "Count",
    "Hash",
    "Maybe",
    "Moment",
    "Name",
    "Number",
    "Prompt",
    "Several",
    "Share",
    "Size",
    "Text",
    "Word",
    "free",
    "left_out_where_nothing",
    "moment",
    "moment_text",
]

MANY = 2**31 - 1
"""The largest whole number of a column."""

DEEPEST = 32
"""Levels of lists and objects in what has no fixed form; ours have five."""

LONGEST_LIST, LONGEST_TEXT = 10_000, 1 << 24
"""Elements of a list, and characters of a text."""


class _Checked:
    """Lets pass what a schema of pydantic's does (``int``: `pydantic_core.core_schema.int_schema`), and a check."""

    def __init__(self, kind: str, check: Callable[[Any], Any] | None = None, **limits: Any) -> None:
        self._kind, self._check, self._limits = kind, check, limits

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        from pydantic_core import core_schema

        found: CoreSchema = getattr(core_schema, f"{self._kind}_schema")(**self._limits)
        return found if self._check is None else core_schema.no_info_after_validator_function(self._check, found)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: Any) -> dict[str, Any]:
        return {"type": "string"} if self._kind == "is_instance" else dict(handler(schema))


class _Listed:
    """A list in JSON, of a bounded number of elements."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        schema: CoreSchema = handler(source) | {"strict": False, "max_length": LONGEST_LIST}
        return schema


class _NothingAsNone:
    """A list that a table without empty lists gives as null."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(
            lambda value: () if value is None else value, handler(source)
        )


def _nothing_as_none(value: object) -> object:
    return () if value is None else value


def left_out_where_nothing(source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
    """The schema of a dataclass whose fields are left out of its JSON where they have their default value."""
    schema = handler(source)
    fields = cast("Any", handler.resolve_ref_schema(schema))["schema"]["fields"]
    for field in fields:
        if field["schema"]["type"] == "default":
            field["serialization_exclude_if"] = partial(eq, field["schema"]["default"])
    return schema


def moment_text(moment: datetime) -> str:
    """A moment in UTC as records have it: ``2026-11-28T14:43:27Z``."""
    return moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def moment(text: str) -> datetime:
    """The moment again. Raises ValueError for anything that headscribe does not write."""
    found = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    if moment_text(found) != text or not 2000 <= found.year < 3000:
        raise ValueError("it is no moment as headscribe writes them")
    return found


def _a_text(text: str) -> str:
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"it has {len(text)} characters, {LONGEST_TEXT} is the most")
    return text


def _a_moment(text: str) -> str:
    moment(text)
    return text


def _a_hash(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise ValueError("it is no SHA-256: 64 of the digits 0-9 and a-f")
    return text


def free(value: Any) -> Any:
    """JSON of no fixed form, whose depth and numbers every database and reader can take."""
    todo = [(value, 0)]
    while todo:
        part, depth = todo.pop()
        if depth > DEEPEST:
            raise ValueError(f"it is nested too deeply: {DEEPEST} levels are the most")
        if isinstance(part, dict | list | tuple):
            todo += [(inner, depth + 1) for inner in (part.values() if isinstance(part, dict) else part)]
        elif isinstance(part, int) and not -(2**63) <= part < 2**63:
            raise ValueError("a whole number in it has more than 64 bits")
    return value


def _text(check: Callable[[str], str]) -> _Checked:
    """A string that passes a check: pydantic's own kind refuses lone surrogates, which tokens may have."""
    return _Checked("is_instance", check, cls=str)


def _at_most(most: int) -> _Checked:
    def checked(text: str) -> str:
        length = len(text) if len(text) > most else len(keepable(text))
        if length > most:
            raise ValueError(f"it has {length} characters, {most} is the most")
        return text

    return _text(checked)


T = TypeVar("T")
Several = Annotated[tuple[T, ...], _Listed()]
Maybe = Annotated[tuple[T, ...], _Listed(), _NothingAsNone()]
Text = Annotated[str, _text(_a_text)]
Name = Annotated[str, _at_most(512)]
Prompt = Annotated[str, _at_most(256)]
Word = Annotated[str, _at_most(64)]
Cause = Annotated[str, _at_most(32)]
Hash = Annotated[str, _text(_a_hash)]
Moment = Annotated[str, _text(_a_moment)]
Count = Annotated[int, _Checked("int", strict=True, ge=0, le=MANY)]
Size = Annotated[int, _Checked("int", strict=True, ge=1, le=MANY)]
Number = Annotated[float, _Checked("float", strict=True, allow_inf_nan=False)]
Share = Annotated[float, _Checked("float", strict=True, allow_inf_nan=False, ge=0, le=1)]

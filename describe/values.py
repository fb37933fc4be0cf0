"""Kinds of values that records are made of, and how one from a file is checked.

The checks are pydantic's, which is loaded only where something is checked: importing this module is quick.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, Any

if TYPE_CHECKING:
    from pydantic_core import CoreSchema

__all__ = ["Cause", "Count", "Moment", "Name", "Number", "Prompt", "Share", "Size", "Text", "Word", "moment"]

MANY = 2**31 - 1
"""The largest whole number that every database's integers hold."""


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


def moment(text: str) -> datetime:
    """A moment as records have it, ``2026-11-28T14:43:27Z``. Raises ValueError for anything else."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)


def _a_moment(text: str) -> str:
    moment(text)
    return text


def _text(most: int | None = None) -> _Checked:
    """Any string: pydantic's own check refuses lone surrogates, which tokens may have."""

    def checked(text: str) -> str:
        if most is not None and len(text) > most:
            raise ValueError(f"it has {len(text)} characters, {most} is the most")
        return text

    return _Checked("is_instance", checked, cls=str) if most else _Checked("is_instance", cls=str)


Text = Annotated[str, _text()]
Name = Annotated[str, _text(512)]
Prompt = Annotated[str, _text(256)]
Word = Annotated[str, _text(64)]
Cause = Annotated[str, _text(32)]
Moment = Annotated[str, _Checked("is_instance", _a_moment, cls=str)]
Count = Annotated[int, _Checked("int", strict=True, ge=0, le=MANY)]
Size = Annotated[int, _Checked("int", strict=True, ge=1, le=MANY)]
Number = Annotated[float, _Checked("float", strict=True, allow_inf_nan=False)]
Share = Annotated[float, _Checked("float", strict=True, allow_inf_nan=False, ge=0, le=1)]

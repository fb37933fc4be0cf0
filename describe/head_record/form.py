"""The common form of all records of a head: frozen, read from a file strictly, and written as JSON.

The fields are the keys of the JSON form, in its order; what is said of a field stands below it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict
from typing_extensions import Self

from describe.values import Text, free

__all__ = ["Json", "Object", "Record", "finite_json"]

Json = dict[str, Any]
"""A JSON object."""

Object = Annotated[dict[Text, Any], AfterValidator(free)]
"""An object with keys of its own: settings, versions, usage."""


def finite_json(text: str | bytes) -> Any:
    """JSON from elsewhere, whose numbers must all be finite. Raises ValueError for anything else."""
    try:
        return json.loads(text, parse_constant=_not_finite, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _not_finite(text[:40])


def _not_finite(text: str) -> float:
    raise ValueError(f"{text} is no number that JSON has")


class Record(BaseModel):
    """One object of the JSON form.

    `model_validate` is the check of what comes from a file: nothing is converted, no key may be missing or one too
    many, every number is finite. A field with a default is a key that may be missing, and then stays so.
    """

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        defer_build=True,  # commands that read no file do without the validators
    )

    @classmethod
    def of(cls, **fields: Any) -> Self:
        """A record of what the catalogue holds, which was checked when it went in; here nothing is.

        What is a record in its turn may be given as one, or as the plain data of one.
        """
        fields |= {name: make(fields[name]) for name, make in _makers(cls).items() if name in fields}
        return cls.model_construct(**fields)

    def to_json(self) -> Json:
        """The record in the JSON form, with tuples for lists."""
        return self.model_dump(by_alias=True, exclude_unset=True, warnings=False)


Make = Callable[[Any], Any]


@cache
def _makers(record: type[Record]) -> dict[str, Make]:
    """How plain data become fields of a record, of those that hold records or tuples."""
    made = {name: _maker(field.annotation) for name, field in record.model_fields.items()}
    return {name: make for name, make in made.items() if make is not None}


def _maker(kind: Any) -> Make | None:
    if isinstance(kind, type) and issubclass(kind, Record):
        return lambda value: value if isinstance(value, kind) else kind.of(**value)
    origin, inner = get_origin(kind), [_maker(part) for part in get_args(kind) if part is not NoneType]
    if origin is Annotated:
        return inner[0]
    if origin is tuple:
        each = inner[0]
        return tuple if each is None else lambda values: tuple(map(each, values))
    if origin is dict:
        of_key = inner[1]
        return None if of_key is None else lambda values: {key: of_key(value) for key, value in values.items()}
    optional = next((make for make in inner if make is not None), None)  # X | None
    return None if optional is None else lambda value: None if value is None else optional(value)

"""A head's mappings: source tokens, each with the tokens that it promotes and suppresses most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from describe.values import Count, Maybe, Number, Several, Share, Text, left_out_where_nothing

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

__all__ = ["ConstantPart", "MappingRow", "Target"]

_CHECKED = {"extra": "forbid", "use_attribute_docstrings": True, "json_schema_extra": {"nested": True}}
"""How pydantic takes these from a file; and that they are nested in tables, though some keys may be missing."""


@dataclass(frozen=True, slots=True)
class Target:
    """A target token and the logit with which a head promotes it."""

    __pydantic_config__ = _CHECKED

    token_id: Count
    """row of the token in the vocabulary"""

    token: Text
    """the token, exactly"""

    logit: Number
    """of the token in what the head writes for the source"""

    z: Number | None = None
    """by how far it stands out, columns and rows divided by their spread. Not of the reading `paper`"""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return left_out_where_nothing(source, handler)


@dataclass(frozen=True, slots=True)
class MappingRow:
    """A source token with its strongest and its weakest targets."""

    __pydantic_config__ = _CHECKED

    token_id: Count
    """row of the source token in the vocabulary"""

    token: Text
    """the source token, exactly"""

    saliency: Number
    """norm of what the head writes for the token, relative to that of the source vector"""

    targets: Several[Target]
    """the tokens that it promotes most, the highest logit first; in rows by distinctness the highest `z`"""

    suppressed: Several[Target]
    """the tokens that it pushes down most, the lowest logit first; in rows by distinctness the lowest `z`"""

    distinctness: Number | None = None
    """how far the row's strongest target stands out, its largest `z`; in `suppressing` the most suppressed one, its
    lowest, without the sign. Not of the reading `paper`"""

    variants: Maybe[Text] = ()
    """the same word in another case or spacing, which this row stands for too"""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return left_out_where_nothing(source, handler)


@dataclass(frozen=True, slots=True)
class ConstantPart:
    """Of a head, the part that it writes whatever it reads: its map of the mean source vector."""

    __pydantic_config__ = _CHECKED

    promoted: Several[Target]
    """the tokens that it promotes most, the highest logit first"""

    suppressed: Several[Target]
    """the tokens that it pushes down most, the lowest logit first"""

    share: Share
    """of the mean square of all that the head writes"""

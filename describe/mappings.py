"""A head's mappings: source tokens, each with the tokens that it promotes and suppresses most."""

from __future__ import annotations

from dataclasses import dataclass

from describe.values import Count, Number, Several, Text

__all__ = ["MappingRow", "Target"]

_CHECKED = {"extra": "forbid", "use_attribute_docstrings": True}
"""How pydantic takes these from a file."""


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
    """the tokens that it promotes most, the highest logit first"""

    suppressed: Several[Target]
    """the tokens that it pushes down most, the lowest logit first"""

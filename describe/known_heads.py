"""Attention heads that published work has named: to be shown with them, and to see which of them the scores find."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

from describe.records import HeadId

__all__ = ["KnownHead", "known_heads"]


@dataclass(frozen=True)
class KnownHead:
    """A head with the role that a paper gave it.

    Attributes:
        model: in which the paper found it, as ``GPT-2 small``.
        operation: that should show it, where it is one of writing: promoted or, with ``suppression``, suppressed.
    """

    model: str
    head: HeadId
    role: str
    citation: str
    operation: str | None = None
    suppression: bool = False

    @property
    def words(self) -> str:
        """``name mover (Wang et al. 2022, ...)``."""
        return f"{self.role} in {self.model} ({self.citation})"


def known_heads(family: str, n_layers: int, n_heads: int, d_model: int) -> tuple[KnownHead, ...]:
    """The named heads of the model of this family and shape, and of models tuned from it; none for most."""
    shape = {"family": family, "n_layers": n_layers, "n_heads": n_heads, "d_model": d_model}
    return tuple(head for match, heads in _published() if match == shape for head in heads)


@cache
def _published() -> list[tuple[dict[str, object], list[KnownHead]]]:
    """By what models are recognised, with the heads named in them."""
    text = (resources.files("describe") / "known_heads.json").read_text(encoding="utf-8")
    found = []
    for entry in json.loads(text):
        heads = [
            KnownHead(entry["model"], HeadId.parse(head), **{key: group[key] for key in group if key != "heads"})
            for group in entry["groups"]
            for head in group["heads"]
        ]
        found.append((entry["match"], heads))
    return found

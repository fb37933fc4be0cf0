"""The figure of a head: how much of its mappings relates or copies words, beside what random heads show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from describe.values import Count, Share, Size

__all__ = ["PARTS", "FigurePart", "HeadFigure", "PartWords"]

MAX_Q, MIN_COUNT = 0.01, 3
"""A share is above random heads' from this false discovery rate down, and where so many cells or rows show it."""

_CHECKED = {"extra": "forbid", "use_attribute_docstrings": True}
"""How pydantic takes these from a file."""


@dataclass(frozen=True, slots=True)
class FigurePart:
    """A share of a head's cells or rows, and where it stands among the shares of random heads."""

    __pydantic_config__ = _CHECKED

    count: Count
    """how many cells, or rows, show it"""

    of: Count
    """of how many"""

    expected: Share
    """the mean share of random heads"""

    most: Share
    """the largest share of a random head"""

    p_value: Share
    """the chance of as much by a random head, never 0"""

    q_value: Share
    """the p-value after Benjamini and Hochberg, over all parts of all heads of the model"""

    @property
    def share(self) -> float:
        """The share that shows it, 0 where there is nothing to look at."""
        return self.count / self.of if self.of else 0.0

    @property
    def above(self) -> bool:
        """The share is larger than that of any random head, surely and visibly."""
        return self.share > self.most and self.q_value < MAX_Q and self.count >= MIN_COUNT


@dataclass(frozen=True, slots=True)
class HeadFigure:
    """How many of a head's cells (a source and one of its targets) hold a near neighbour of their source, another word,
    and how many of its rows hold their source again; of what it promotes and of what it suppresses."""

    __pydantic_config__ = _CHECKED

    order: Literal["saliency", "distinctness"]
    """by which its rows were chosen"""

    random: Size
    """how many random heads it is held against"""

    random_above: Count
    """how many of these show something above all the others, each tested in the place of one of the model's heads"""

    relates: FigurePart
    """cells whose promoted target is a near neighbour of the source"""

    copies: FigurePart
    """rows that promote their source, in whatever case and spacing"""

    suppresses_related: FigurePart
    """cells whose suppressed target is a near neighbour of the source"""

    suppresses_copies: FigurePart
    """rows that suppress their source, in whatever case and spacing"""

    @property
    def above(self) -> dict[str, FigurePart]:
        """The parts that are above random heads', the largest share first."""
        found = {name: part for name in PARTS if (part := getattr(self, name)).above}
        return dict(sorted(found.items(), key=lambda item: -item[1].share))

    @property
    def words(self) -> str:
        """The parts above random heads' in words."""
        told = [
            f"{PARTS[name].does}: {part.share:.2f} of {PARTS[name].units} (random heads at most {part.most:.2f})"
            for name, part in self.above.items()
        ]
        return "; ".join(told) or "nothing above random heads"


class PartWords(NamedTuple):
    """A part of a figure in words: what a head ``does`` that shows it, and the ``units`` that are counted."""

    does: str
    units: str

    @property
    def share(self) -> str:
        """The part's share as a title."""
        return f"{self.does[0].upper()}{self.does[1:]}: share of {self.units}"


PARTS = {
    "relates": PartWords("relates words", "cells"),
    "copies": PartWords("copies", "rows"),
    "suppresses_related": PartWords("suppresses related words", "cells"),
    "suppresses_copies": PartWords("suppresses its input", "rows"),
}
"""The parts of a figure."""

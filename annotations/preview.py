"""A study before it is made: its items, what it asks of each rater, and what it can find."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import ceil

from annotations.design import Design, design_items
from annotations.pace import pace
from annotations.power import ALIKE, WANTED, power, smallest_difference, standard_error
from annotations.records import KINDS
from annotations.report.exclusion import LEAST
from describe.catalog import Catalogue

__all__ = ["Preview", "preview"]

DIFFERENCES = (0.1, 0.2, 0.3)

_NAMES = {
    "real": "heads with their own description",
    "swap_easy": "controls: a random other head's description",
    "swap_hard": "controls: the description of a head alike",
    "shuffled": "controls: targets shuffled over the rows",
    "catch": "obvious items",
}


@dataclass(frozen=True, slots=True)
class Preview:
    """A design in figures: the study that it would make.

    Attributes:
        items: by kind.
        unclear: of the real items, those whose description is an abstention.
        raters: needed at least, so that every item is answered as often as wanted.
        per_rater: items of each, those shown again included.
        catch_per_rater: obvious items that each rater meets, about.
        minutes: of each rater, reading and practice included.
        seconds, measured: an item takes, and of how many answered items that is the median (0: assumed).
        error: the largest standard error of the difference between own and other heads' descriptions.
    """

    items: dict[str, int]
    unclear: int
    raters_per_item: int
    raters: int
    per_rater: int
    catch_per_rater: int
    minutes: int
    seconds: float
    measured: int
    error: float
    catch_rule: bool

    def lines(self) -> list[tuple[str, str]]:
        """All of it in words: what is meant, and how much."""
        total = sum(self.items.values())
        known = f"the median of {self.measured:,} answered items" if self.measured else "assumed: too few were measured"
        found = [("items", f"{total:,}")]
        found += [(_NAMES[kind], f"{number:,}") for kind, number in self.items.items()]
        found += [
            ("of the heads, described as Unclear", f"{self.unclear:,}"),
            ("raters", f"{self.raters:,} at least, {self.raters_per_item} for each item"),
            ("items of a rater", f"about {self.per_rater:,}, those shown again included"),
            ("minutes of a rater", f"about {self.minutes:,}, reading and practice included"),
            ("seconds of an item", f"{self.seconds:.0f} ({known})"),
            ("finds, own against other heads' descriptions", self._finds()),
        ]
        if self.catch_rule and self.catch_per_rater < LEAST:
            note = (
                f"a rater meets about {self.catch_per_rater}: the rule on obvious items needs {LEAST} and cannot hold"
            )
            found.append(("exclusion", note))
        return found

    def _finds(self) -> str:
        smallest = smallest_difference(self.error)
        if smallest > 1:
            return "no difference: there are too few items, or no controls with other heads' descriptions"
        chances = ", ".join(f"of {d * 100:.0f} with {power(d, self.error):.0%}" for d in DIFFERENCES)
        found = f"a difference of {smallest * 100:.0f} points with {WANTED:.0%} probability; {chances}"
        return f"{found} (answers on one item alike by {ALIKE})"


def preview(catalogue: Catalogue, design: Design) -> Preview:
    """Draw a study's items and say what they come to; nothing is stored.

    Raises `InputError` as `annotations.design.new_study` does.
    """
    items = design_items(catalogue, design)
    counts = Counter(item.kind for item in items)
    real = [item for item in items if item.kind == "real"]
    unclear = sum(item.unclear for item in real)
    most = min(design.items_per_rater or len(items), len(items))
    per_rater = most + round(most * design.repeats)
    known = pace(catalogue)
    other = counts["swap_easy"] + counts["swap_hard"]
    return Preview(
        items={kind: counts[kind] for kind in KINDS},
        unclear=unclear,
        raters_per_item=design.raters_per_item,
        raters=ceil(len(items) * design.raters_per_item / most),
        per_rater=per_rater,
        catch_per_rater=round(counts["catch"] * most / len(items)),
        minutes=known.minutes(per_rater),
        seconds=known.seconds,
        measured=known.answers,
        error=standard_error(len(real) - unclear, other, design.raters_per_item),
        catch_rule=design.max_failed_catch is not None,
    )

"""Designing a study: what is shown, hidden controls, blocks. The same catalogue and seed make the same items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from annotations.controls import Table, catch_items, real, shuffled_items, swapped
from annotations.material import consent_text, guideline_text
from annotations.records import KINDS, Study
from annotations.sampling import sample
from annotations.seeded import chance, shuffled
from annotations.sources import Described, described, mapping_of
from annotations.storage import NewItem, save_study
from describe.catalog import Catalogue
from describe.errors import InputError
from describe.versions import versions

__all__ = ["Design", "blocks", "design_items", "new_study"]

MOST_ITEMS = 10_000
LONGEST_CONTACT = 200


@dataclass(frozen=True)
class Design:
    """The design of a study. Shares of controls are of the number of real items; at least one if over 0.

    Attributes:
        models: names of models in the catalogue.
        heads: ``sample:120`` for so many descriptions drawn at random (`annotations.sampling`); or all descriptions of
            ``all`` heads, or of some, such as ``25.0,16.8``.
        sources: describers to take, such as ``statistics`` or ``openai:gpt-5-mini``; none: all.
        unclear: whether abstentions are drawn too; raters are asked a question of their own about them.
        raters_per_item: N.
        swap_easy, swap_hard, shuffled, catch: shares of controls, 0 to 1.
        repeats: items that a rater sees again, as a share of the different items they see, 0 to 0.25.
        distance: other items at least between two that show the same head, or the same item again; a fifth of the
            study if that is less.
        block: items of a block, about.
        rows, targets: of a table, at most.
        items_per_rater: different items that a rater is given, at most; None: all.
        lease_minutes: how long an item stays with a rater who does not answer.
        max_failed_catch, min_seconds_per_item, max_repeat_disagreement: the rules of exclusion; None: no such rule.
        guideline, consent: Markdown texts.
        contact: whom raters may ask, in words.
        about_raters: whether raters are asked about themselves (`annotations.about.ABOUT`).
        screening: whether raters pass a check before their first item, of which they have two tries.
    """

    name: str
    models: tuple[str, ...]
    heads: str = "sample:120"
    sources: tuple[str, ...] = ()
    unclear: bool = True
    raters_per_item: int = 3
    seed: int = 0
    swap_easy: float = 0.15
    swap_hard: float = 0.15
    shuffled: float = 0.1
    catch: float = 0.1
    repeats: float = 0.08
    distance: int = 20
    block: int = 24
    rows: int = 30
    targets: int = 5
    items_per_rater: int | None = None
    lease_minutes: float = 30.0
    max_failed_catch: float | None = 0.25
    min_seconds_per_item: float | None = 3.0
    max_repeat_disagreement: float | None = None
    guideline: str = field(default_factory=guideline_text)
    consent: str = field(default_factory=consent_text)
    contact: str = ""
    about_raters: bool = False
    screening: bool = False

    def __post_init__(self) -> None:
        shares = {"swap_easy": 1.0, "swap_hard": 1.0, "shuffled": 1.0, "catch": 1.0, "repeats": 0.25}
        shares |= {"max_failed_catch": 1.0, "max_repeat_disagreement": 1.0}
        for name, most in shares.items():
            _within(name, getattr(self, name), 0, most)
        whole = {"raters_per_item": (1, 1000), "distance": (0, 1000), "block": (4, 1000), "rows": (1, 1000)}
        whole |= {"targets": (1, 100), "items_per_rater": (1, MOST_ITEMS), "seed": (0, 2**31 - 1)}
        for name, (least, most) in whole.items():
            _within(name, getattr(self, name), least, most)
        _within("lease_minutes", self.lease_minutes, 1, 60 * 24 * 30)
        _within("min_seconds_per_item", self.min_seconds_per_item, 0, 3600)
        if not self.name.strip() or len(self.name) > 128 or not self.name.isprintable():
            raise InputError("a study needs a name of 1 to 128 printable characters")
        if len(self.contact) > LONGEST_CONTACT or not self.contact.isprintable():
            raise InputError(f"the contact is a line of up to {LONGEST_CONTACT} printable characters")


def new_study(catalogue: Catalogue, design: Design) -> Study:
    """Draw a study's items from the catalogue, add controls, and commit all of it at once.

    Raises `InputError` for what cannot be asked for, and when there is not as much as is asked for.
    """
    items = design_items(catalogue, design)
    dealt = blocks(items, design.block, design.seed)
    settings = asdict(design)
    known = ("name", "models", "seed", "raters_per_item", "guideline", "consent")
    rules = ("max_failed_catch", "min_seconds_per_item", "max_repeat_disagreement")
    fields: dict[str, Any] = {name: settings.pop(name) for name in known}
    fields["exclusion"] = {name: settings.pop(name) for name in rules}
    settings["distance"] = min(design.distance, len(items) // 5)
    counts = Counter(item.kind for item in items)
    fields |= {"n_items": {kind: counts[kind] for kind in KINDS}, "settings": settings, "versions": versions()}
    fields["models"] = list(dict.fromkeys(item.model for item in items if item.kind == "real"))
    return save_study(catalogue, fields, dealt)


def design_items(catalogue: Catalogue, design: Design) -> list[NewItem]:
    """The items of a study in random order, controls among them."""
    number = _number(design.heads)
    pool = described(catalogue, design.models, "all" if number is not None else design.heads, design.sources)
    if not design.unclear:
        pool = [one for one in pool if not one.unclear]
        if not pool:
            raise InputError("all descriptions of these heads are abstentions, which the study leaves out")
    seed = design.seed
    chosen = pool if number is None else sample(pool, number, seed)
    if number is None:
        pool = described(catalogue, design.models, "all", design.sources)
    if len(chosen) > MOST_ITEMS / 2:
        raise InputError(f"{len(chosen):,} descriptions are too many for a study: {MOST_ITEMS // 2:,} are the most")
    tables: dict[str, Table] = {}

    def table(one: Described) -> Table:
        if one.key not in tables:
            rows = mapping_of(catalogue, one).salient[: design.rows]
            tables[one.key] = [[row.token, [target.token for target in row.targets[: design.targets]]] for row in rows]
        return tables[one.key]

    items = [real(one, table(one)) for one in chosen]
    clear = shuffled((one for one in chosen if not one.unclear), seed, "controls")
    heads = list({one.key: one for one in clear}.values())
    for kind in ("swap_easy", "swap_hard", "shuffled"):
        wanted = _count(getattr(design, kind), len(chosen))
        if kind == "shuffled":
            made = shuffled_items(wanted, heads, table, seed)
        else:
            made = swapped(kind, wanted, heads, pool, table, seed)
        items += made
        used = {f"{item.model} {item.head}" for item in made}
        heads = [one for one in heads if one.key not in used] + [one for one in heads if one.key in used]
    items += catch_items(_count(design.catch, len(chosen)), design.rows, design.targets, seed)
    return list(shuffled(items, seed, "numbers"))


def blocks(items: Sequence[NewItem], size: int, seed: int) -> list[tuple[int, NewItem]]:
    """Deal the items into blocks that are each a small replica of the kinds and sources, in the order of the items.

    Of the blocks with the fewest of an item's kind and source, and the fewest items, it goes where no other item shows
    the same head, if there is such a one.
    """
    number = max(1, round(len(items) / size))
    dealt = [Counter[Any]() for _ in range(number)]  # of kinds, sources of a kind, heads, and items
    block_of: dict[int, int] = {}
    by_kind = sorted(range(len(items)), key=lambda i: (items[i].kind, items[i].model, items[i].source, items[i].layer))
    for i in by_kind:
        item = items[i]

        def load(block: int, item: NewItem = item, i: int = i) -> tuple[int, int, int, int, float]:
            others = dealt[block]
            met = sum(others[head] for head in item.touches)
            of_source = others[item.kind, item.model, item.source]
            return others[item.kind,], met, of_source, others[()], chance(seed, "block", i, block)

        block_of[i] = min(range(number), key=load)
        dealt[block_of[i]].update([(item.kind,), (item.kind, item.model, item.source), *item.touches, ()])
    return [(block_of[i], item) for i, item in enumerate(items)]


def _number(heads: str) -> int | None:
    """The number of ``sample:NUMBER``; None for a selection of heads."""
    word, colon, number = heads.partition(":")
    if not colon:
        return None
    if word.strip() != "sample" or not number.strip().isdecimal() or not 1 <= int(number) <= MOST_ITEMS // 2:
        raise InputError(
            f"--heads {heads}: write sample:NUMBER (1 to {MOST_ITEMS // 2:,}), all, or heads like 25.0,16.8"
        )
    return int(number)


def _count(share: float, number: int) -> int:
    return max(1, round(share * number)) if share else 0


def _within(name: str, value: float | None, least: float, most: float) -> None:
    if value is not None and not least <= value <= most:  # not a number is within nothing
        raise InputError(f"--{name.replace('_', '-')} {value:g}: it goes from {least:g} to {most:,g}")

"""The one line that says what a head does: read off one table, `TRUST`, from all that is known of the head.

A headline has two sides, where the head looks and what it writes, each by the most trusted evidence that there is of
it. The more trusted of the two carries the headline: gives it its name, its kind and its figure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from describe.attention import KINDS, Kind
from describe.figures import PARTS
from describe.head_record.contradictions import ContradictionRecord, contradictions, missing_in_prompts, unharmed
from describe.head_record.facts import Facts
from describe.head_record.form import Record
from describe.head_record.operation_words import COPYING, does
from describe.head_record.relations import RelationRecord
from describe.kinds import CARD_KINDS, CardKind
from describe.records import THRESHOLD
from describe.values import Number, Several, Text, Word

__all__ = ["TRUST", "Card", "Trusted", "attention_figure", "card", "operation_figure"]

PLACES = frozenset({"local", "broad", "content"})
"""Kinds of attention that say how a head looks around and not for what: a figure of what it writes tells more."""

WORDS = 160
"""Characters of a description in a headline."""

Side = Literal["looks", "writes"]


class Basis(NamedTuple):
    """One side of a headline: its words, the kind of head that it makes, and the figure that it rests on."""

    words: str
    kind: CardKind
    figure: str
    strength: float | None = None
    """the figure alone, by which heads of one kind are ordered"""

    name: str = ""
    """what a head is called that the side carries; empty: by its words"""


class Trusted(NamedTuple):
    """A row of the table of trust: a sort of evidence, the side that it tells of, and how it is read."""

    rests_on: str
    side: Side
    found: Callable[[Facts], Basis | None]


class Card(Record):
    """The headline, with what it rests on and what contradicts it. Made of everything else that is known of the head:
    files need not have it, and none is read from them."""

    headline: Text
    """the line"""

    kind: Word
    """by what carries the headline; `describe.kinds.CARD_KINDS` has them in words"""

    looks: Text | None
    """where the head looks; null where nothing is known of it"""

    writes: Text | None
    """what it writes or suppresses there; null where nothing is known of it"""

    rests_on: Text
    """the sort of evidence that carries the headline; empty where none does"""

    figure: Text
    """the figure that carries it, with what random or uniform heads get where that is known; empty where none does"""

    strength: Number | None
    """the figure's value alone; null where it has none"""

    contradictions: Several[ContradictionRecord]
    """what is known of the head and does not go together"""

    @property
    def rank(self) -> int:
        """The place of the evidence that carries it in the order of trust, from 0; behind all where none does."""
        return next((place for place, row in enumerate(TRUST) if row.rests_on == self.rests_on), len(TRUST))

    @property
    def basis(self) -> str:
        """The figure with the sort of evidence: ``suppresses names: 0.90 of 325 pairs (relation score)``."""
        return f"{self.figure} ({self.rests_on})" if self.rests_on else self.figure


# -- what it writes ---------------------------------------------------------------------------------------------------


def _ablated(facts: Facts) -> Basis | None:
    """The strongest operation whose task is lost with the head, and with as many random heads is not."""
    return _operation(facts, lambda relation: relation.ablation is not None and not unharmed(relation))


def _correlated(facts: Facts) -> Basis | None:
    """The strongest operation that the head carries out in prompts as it attends."""

    def happens(relation: RelationRecord) -> bool:
        run = relation.inference
        return run is not None and _side(relation, run.in_context.score, run.in_context.suppression) >= THRESHOLD

    return _operation(facts, happens)


def _scored(facts: Facts) -> Basis | None:
    """The strongest operation by its scores, of those that no run contradicts."""
    return _operation(facts, lambda relation: not missing_in_prompts(relation))


def _operation(facts: Facts, holds: Callable[[RelationRecord], bool]) -> Basis | None:
    strong = [
        (relation.strength, name)
        for name, relation in facts.relations.items()
        if relation.strength >= THRESHOLD and holds(relation)
    ]
    if not strong:
        return None
    strength, name = max(strong)
    relation = facts.relations[name]
    down = relation.suppression > relation.score
    kind: CardKind = "suppresses" if down else "copies" if name in COPYING else "relates"
    return Basis(does(name, suppresses=down), kind, operation_figure(facts, name), strength)


def operation_figure(facts: Facts, name: str) -> str:
    """An operation with its score, and what running the model showed: ``suppresses names: 0.90 of 325 pairs``."""
    relation = facts.relations[name]
    down = relation.suppression > relation.score
    pairs = f" of {facts.pairs[name]} pairs" if name in facts.pairs else ""
    return f"{does(name, suppresses=down)}: {relation.strength:.2f}{pairs}{_run(relation, down)}"


def _run(relation: RelationRecord, down: bool) -> str:
    """The runs of the model that a score stands beside, in words."""
    said = []
    if (run := relation.inference) is not None:
        within = run.in_context.suppression if down else run.in_context.score
        said.append(f"in prompts {within:.2f}")
    if (removed := relation.ablation) is not None and removed.random is not None and not down:
        said.append(
            f"its task falls from {removed.base:.2f} to {removed.targeted:.2f} without it and those before it, to"
            f" {removed.random:.2f} without as many random heads"
        )
    return "".join(f"; {one}" for one in said)


def _side(relation: RelationRecord, promoted: float, suppressed: float) -> float:
    return suppressed if relation.suppression > relation.score else promoted


_PART_KINDS: Mapping[str, CardKind] = {
    "relates": "relates",
    "copies": "copies",
    "suppresses_related": "suppresses",
    "suppresses_copies": "suppresses",
}
_PART_WORDS = {
    "relates": "writes words related to its input",
    "copies": "copies its input",
    "suppresses_related": "suppresses words related to its input",
    "suppresses_copies": "suppresses its input",
}


def _figured(facts: Facts) -> Basis | None:
    """The largest share of its mappings that is above that of every random head."""
    above = facts.figure.above if facts.figure is not None else {}
    for name, part in above.items():
        told = f"{PARTS[name].does}: {part.share:.2f} of {PARTS[name].units}, random heads at most {part.most:.2f}"
        return Basis(_PART_WORDS[name], _PART_KINDS[name], told, part.share)
    return None


# -- where it looks ---------------------------------------------------------------------------------------------------


def _looks(places: bool) -> Callable[[Facts], Basis | None]:
    """The first kind of head that it is by where it looks; of those that say how it looks around, or of the others."""

    def found(facts: Facts) -> Basis | None:
        for kind in KINDS:
            if kind.name in facts.kinds and (kind.name in PLACES) == places and kind.name in CARD_KINDS:
                figure, own = attention_figure(kind, facts.attention.get(kind.text, {}))
                words = kind.says.replace("attends to", "looks at", 1)
                name: CardKind = kind.name
                return Basis(words, name, figure, own, CARD_KINDS[name])
        return None

    return found


def attention_figure(kind: Kind, figures: Mapping[str, tuple[float | None, float | None]]) -> tuple[str, float | None]:
    """The figure that a kind is told by, beside that of a head that attends to all tokens alike."""
    values = [figures[name] for name in kind.figures if name in figures]
    own, alike = (sum(pair[of] or 0.0 for pair in values) for of in (0, 1))
    unit = _UNITS.get(kind.name, " of its attention")
    if not values:
        return "", None
    return f"{kind.says}: {own:.2f}{unit} on {_TEXTS[kind.text]}, {alike:.2f} if to all tokens alike", own


_TEXTS = {"text": "text", "shuffled": "shuffled text", "random": "random tokens that come twice"}
_UNITS = {"broad": " nats of entropy", "content": " of it by distance alone"}


# -- what was said of it ----------------------------------------------------------------------------------------------


def _said(side: Side, supported: bool) -> Callable[[Facts], Basis | None]:
    """The best description that tells of a side: that a test bears out, or that none does."""

    def found(facts: Facts) -> Basis | None:
        for one in facts.ranked:
            tells = one.state == "described" and one.tells == side and not one.role and one.words
            if tells and (one.verdict == "supported") == supported:
                figure = f"said by {one.llm}: {one.verdict}"
                if one.headline is not None:
                    figure += f", {one.headline.text}"
                return Basis(f"{side}: {_cut(one.words)}", "supported" if supported else "said", figure)
        return None

    return found


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= WORDS else text[:WORDS].rpartition(" ")[0] + "…"


TRUST: Sequence[Trusted] = (
    Trusted("ablation", "writes", _ablated),
    Trusted("prompts", "writes", _correlated),
    Trusted("relation score", "writes", _scored),
    Trusted("attention", "looks", _looks(places=False)),
    Trusted("mappings beside random heads", "writes", _figured),
    Trusted("description that a test bears out", "writes", _said("writes", supported=True)),
    Trusted("description that a test bears out", "looks", _said("looks", supported=True)),
    Trusted("attention", "looks", _looks(places=True)),
    Trusted("description that no test bears out", "writes", _said("writes", supported=False)),
    Trusted("description that no test bears out", "looks", _said("looks", supported=False)),
)
"""Evidence, the most trusted first. The first row that finds something carries the headline, and of each side the first
that tells of it is shown."""


def card(facts: Facts) -> Card:
    """The card of a head: its headline, by `TRUST`, and what contradicts it."""
    carrying: tuple[Trusted, Basis] | None = None
    sides: dict[Side, Basis] = {}
    for row in TRUST:
        if row.side not in sides and (found := row.found(facts)) is not None:
            sides[row.side] = found
            carrying = carrying or (row, found)
    found_contradictions = contradictions(facts)
    if carrying is None:
        kind: CardKind = "unclear" if facts.looked_into else "not looked at"
        return Card.of(
            headline="unclear: nothing found above chance" if facts.looked_into else "not looked into beyond mappings",
            kind=kind,
            looks=None,
            writes=None,
            rests_on="",
            figure="",
            strength=None,
            contradictions=found_contradictions,
        )
    row, basis = carrying
    writes, looks = sides.get("writes"), sides.get("looks")
    return Card.of(
        headline="; ".join(_line(basis, row.side, writes, looks)),
        kind=basis.kind,
        looks=looks and looks.words,
        writes=writes and writes.words,
        rests_on=row.rests_on,
        figure=basis.figure,
        strength=basis.strength,
        contradictions=found_contradictions,
    )


def _line(carrying: Basis, side: Side, writes: Basis | None, looks: Basis | None) -> Iterator[str]:
    """The parts of a headline, the carrying side first. Beside what is tested, what nothing bears out is left out."""
    first, second = (writes, looks) if side == "writes" else (looks, writes)
    if first is not None:
        yield f"{carrying.name}: {first.words}" if carrying.name else first.words
    if second is not None and (second.kind != "said" or carrying.kind == "said"):
        copies = side == "looks" and second.words == does("copying", suppresses=False)
        yield "copies it" if copies else second.words

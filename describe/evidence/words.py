"""From evidence to a description in plain words: no LLM, the same every time, and nothing said without evidence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from describe.evidence.meaning import MEANING_RELATIONS, MEANINGS, OPERATION_GROUPS
from describe.evidence.properties import PROPERTIES
from describe.evidence.relations import RELATIONS
from describe.records import Description, Evidence

__all__ = ["METHOD", "NAME", "RANDOM", "SETTINGS", "describe_evidence", "significant"]

UNCLEAR = "Unclear"

MAX_Q, MIN_EFFECT, MIN_SHARE, MIN_COUNT = 0.01, 0.5, 0.2, 3
"""Thresholds of a sentence: a false discovery rate, a medium effect, and enough of the rows to speak of."""

COMMON_SHARE = 1 / 3
"""Related inputs have some outputs in common in any head; one is told of when this share of the rows has it."""

NEARLY = 0.8
"""A more specific claim goes before a stronger one that it is part of when so much of the latter's rows show it."""

CLAIMS = 2
"""Claims on either side of a description."""

DEGREES = ((1.0, "all"), (0.9, "nearly all"), (0.5, "mostly"), (0.0, "often"))
"""From which share on a property is said to hold of so many."""

RANDOM = {"groups": 4, "heads": 64, "seed": 0}
"""The random heads that claims about one side are held against."""

SETTINGS = {
    "version": 3,
    "words": "WordNet 3.1",
    "max_q": MAX_Q,
    "min_effect": MIN_EFFECT,
    "min_share": MIN_SHARE,
    "min_count": MIN_COUNT,
    "common_share": COMMON_SHARE,
    "random": RANDOM,
}
"""Settings that a description depends on besides the evidence; kept with it."""

NAME = "evidence-2"
METHOD = """Statistics of a head's mappings, put into words without an LLM.

Inputs and outputs: the share with a property against the vocabulary's share, exact binomial tail; outputs each once,
without hub tokens. Common outputs: the rows that have a token against the rows of the other heads. Pairing: the rows
that show a relation against shuffled rows. What is of one side is also held against random heads with the spectra of
the model's own, by the beta-binomial tail; the larger p-value counts. All tests on all heads are corrected together
(Benjamini-Hochberg). Said is what passes the thresholds in the settings: the strongest claims on either side, or
"Unclear".
"""
"""Stored where the descriptions of an LLM have their prompt."""

_OF_ROWS = ("common_target", "one_set")
"""Evidence of outputs that is counted in rows, not in distinct outputs."""

_GROUPS = (
    {("pairing", relation.name): relation.group for relation in (*RELATIONS, *MEANING_RELATIONS)}
    | {("pairing", operation): group for operation, group in OPERATION_GROUPS.items()}
    | {(kind, prop.name): prop.group for prop in (*PROPERTIES, *MEANINGS) for kind in ("inputs", "outputs")}
)


def significant(evidence: Iterable[Evidence]) -> list[Evidence]:
    """The evidence that is surely and visibly above chance, the inputs' first, of each kind the strongest first."""
    found = [e for e in evidence if e.q_value < MAX_Q and e.effect >= MIN_EFFECT and e.count >= MIN_COUNT]
    return sorted(found, key=lambda e: (e.kind, -e.effect))


def describe_evidence(evidence: Sequence[Evidence], *, suppresses: bool = False) -> Description:
    """The evidence on one head, in words and as claims; ``Unclear`` for a side of which it says nothing.

    ``evidence`` stands in the order in which it was tested: the specific before the general; ``suppresses``: it is of
    what the head pushes down, not of what it promotes.
    """
    found = significant(evidence)
    sure = set(map(id, found))
    claims = [e for e in evidence if id(e) in sure and e.share >= MIN_SHARE]
    inputs = _strongest([e for e in claims if e.kind == "inputs"])
    pattern = _pattern(claims, suppresses)
    stated = {*map(id, inputs), *(id(e) for sentence in pattern for e in sentence.states)}
    return Description(
        inputs="; ".join(map(_property, inputs)) or UNCLEAR,
        pattern="; ".join(sentence.words for sentence in pattern) or UNCLEAR,
        reasoning="\n".join(map(_line, found)) or "Nothing is above chance.",
        unclear=not pattern,
        claims=tuple(e.claim for e in found if id(e) in stated),
    )


class _Sentence(NamedTuple):
    """A sentence about what a head does, how strong the strongest of it is, and the evidence that it states."""

    effect: float
    words: str
    states: Sequence[Evidence]


def _pattern(claims: Sequence[Evidence], suppresses: bool) -> list[_Sentence]:
    """The strongest sentences about what a head does, the strongest first."""
    lead, verb = ("in what is suppressed, ", "suppresses") if suppresses else ("", "promotes")
    pairing = _strongest([e for e in claims if e.kind == "pairing"])
    outputs = _strongest([e for e in claims if e.kind == "outputs" and e.name not in _OF_ROWS])
    told = [_Sentence(e.effect, lead + _pairing(e), [e]) for e in pairing]
    told += [_Sentence(e.effect, _outputs(e, suppresses), [e]) for e in outputs]
    common = [e for e in claims if e.name == "common_target" and e.share >= COMMON_SHARE]
    if common:
        one_set = any(e.name == "one_set" and e.share >= NEARLY for e in claims)
        named = _named(common)
        told.append(_Sentence(max(e.effect for e in common), _common(named, one_set, verb), named))
    return sorted(told, key=lambda sentence: -sentence.effect)[:CLAIMS]


def _strongest(claims: Sequence[Evidence]) -> list[Evidence]:
    """Of each group of claims one, then the strongest of these."""
    groups: dict[str, list[Evidence]] = {}
    for claim in claims:
        groups.setdefault(_GROUPS.get((claim.kind, claim.name), "other"), []).append(claim)
    chosen = [
        next(claim for claim in group if claim.count >= NEARLY * max(other.count for other in group))
        for group in groups.values()
    ]
    return sorted(chosen, key=lambda claim: -claim.effect)[:CLAIMS]


def _property(claim: Evidence, of: str = "") -> str:
    degree = next(word for least, word in DEGREES if claim.share >= least)
    rows = f"{claim.count} of {claim.rows} {of}".rstrip()
    return f"{degree} {claim.wording} ({rows}; {_percent(claim.expected)} of the vocabulary{_in_random(claim)})"


def _outputs(claim: Evidence, suppresses: bool = False) -> str:
    return f"{'suppressed ' if suppresses else ''}outputs are {_property(claim, 'distinct outputs')}"


def _pairing(claim: Evidence) -> str:
    chance = claim.expected * claim.rows
    return f"{claim.wording} ({claim.count} of {claim.rows} rows; {chance:.2g} expected by chance)"


def _named(claims: Sequence[Evidence]) -> list[Evidence]:
    """The commonest outputs that are named: four at most, words that differ only in case and spacing once."""
    words: dict[str, Evidence] = {}
    for claim in claims:
        words.setdefault(claim.wording[1:-1].strip().casefold(), claim)
    return list(words.values())[:4]


def _common(claims: Sequence[Evidence], one_set: bool, verb: str) -> str:
    first, *more = claims
    named = [f"{first.wording} ({first.count} of {first.rows} rows)", *(f"{e.wording} ({e.count})" for e in more)]
    return f"{'whatever the input, ' if one_set else ''}{verb} {', '.join(named)}"


def _line(e: Evidence) -> str:
    return (
        f"{e.kind}: {e.wording}: {e.count} of {e.rows}, {_percent(e.expected)} expected{_in_random(e)};"
        f" h = {e.effect:.2f}, q = {e.q_value:.1g}"
    )


def _in_random(e: Evidence) -> str:
    return "" if e.random_expected is None else f", {_percent(e.random_expected)} in random heads"


def _percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %") if share >= 0.1 else f"{100 * share:.2g} %"

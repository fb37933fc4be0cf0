"""Claims of descriptions by statistics, read out of their words: for those from before claims were stored.

The words here are those that statistics used until then, and stay as they are, however they speak now.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from describe.head_record import ClaimRecord, DescriptionRecord, HeadRecord

__all__ = ["claims_stated", "with_claims"]

Found = dict[str, Any]

_CLAIM = ("name", "kind", "wording", "count", "rows", "expected")
_DEGREES = ((1.0, "all"), (0.9, "nearly all"), (0.5, "mostly"), (0.0, "often"))
_OF_ROWS = ("common_target", "one_set")


def with_claims(head: HeadRecord) -> HeadRecord:
    """The record with the claims of each description whose export had none yet."""
    made = head.provenance
    of_roles = made.roles.evidence if made.roles else None
    tested = {role.role: (of_roles, role.evidence) for role in head.roles} | {0: (made.evidence, head.evidence)}

    def told(one: DescriptionRecord) -> DescriptionRecord:
        if "claims" in one.model_fields_set:
            return one
        settings, evidence = tested.get(one.role or 0, (None, ()))
        same = one.llm == "statistics" and settings == one.provenance.settings
        stated = claims_stated(one.inputs, one.pattern, [e.to_json() for e in evidence] if same else [])
        return one.model_copy(update={"claims": tuple(ClaimRecord.of(**claim) for claim in stated)})

    return head.model_copy(update={"descriptions": tuple(map(told, head.descriptions))})


def claims_stated(inputs: str | None, pattern: str | None, evidence: Iterable[Found]) -> list[Found]:
    """The evidence that a description states in its words, as `describe.records.Claim` has it.

    None of it where a side that is told of states none: then the words are not those that statistics used.
    """
    inputs, pattern = inputs or "", pattern or ""
    stated = [e for e in evidence if _states(inputs, pattern, e)]
    of_inputs = any(e["kind"] == "inputs" for e in stated)
    of_pattern = any(e["kind"] != "inputs" for e in stated)
    whole = of_inputs == (inputs not in ("", "Unclear")) and of_pattern == (pattern not in ("", "Unclear"))
    return [{name: e[name] for name in _CLAIM} for e in stated] if whole else []


def _states(inputs: str, pattern: str, e: Found) -> bool:
    if e["kind"] == "inputs":
        return _property(e) in inputs
    if e["kind"] == "pairing":
        chance = e["expected"] * e["rows"]
        return f"{e['wording']} ({e['count']} of {e['rows']} rows; {chance:.2g} expected by chance)" in pattern
    if e["name"] in _OF_ROWS:
        told = any(f"{verb} " in pattern for verb in ("promotes", "suppresses"))
        return told and f"{e['wording']} ({e['count']}" in pattern
    return f"outputs are {_property(e, 'distinct outputs')}" in pattern


def _property(e: Found, of: str = "") -> str:
    degree = next(word for least, word in _DEGREES if e["count"] / e["rows"] >= least)
    rows = f"{e['count']} of {e['rows']} {of}".rstrip()
    random = e.get("random_expected")
    in_random = "" if random is None else f", {_percent(random)} in random heads"
    return f"{degree} {e['wording']} ({rows}; {_percent(e['expected'])} of the vocabulary{in_random})"


def _percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %") if share >= 0.1 else f"{100 * share:.2g} %"

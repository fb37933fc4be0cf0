"""What descriptions by statistics claim, read out of their words: for those from before claims were stored.

The words here are those that statistics used until then, and stay as they are, however they speak now.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["add_claims", "claims_stated"]

Found = dict[str, Any]

_CLAIM = ("name", "kind", "wording", "count", "rows", "expected")
_DEGREES = ((1.0, "all"), (0.9, "nearly all"), (0.5, "mostly"), (0.0, "often"))
_OF_ROWS = ("common_target", "one_set")


def add_claims(head: Found) -> None:
    """Give each description of a head, in the JSON form of one head, its claims where its export had none yet."""
    made = head["provenance"]
    tested = {(None, "head"): (made.get("evidence"), head["evidence"])}
    for role in head["roles"]:
        tested[role["role"], "role"] = (made["roles"]["evidence"], role["evidence"])
    for told in head["descriptions"]:
        of = (told["role"], "role" if told["role"] else "head")
        settings, evidence = tested.get(of, (None, []))
        same = told["llm"] == "statistics" and settings == told["provenance"]["settings"]
        told.setdefault("claims", claims_stated(told["inputs"], told["pattern"], evidence if same else []))


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

"""The level of descriptions in sentences: own heads beside random ones, and what is true beyond chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["estimate_text", "level_lines", "of_whom"]


def level_lines(row: dict[str, Any]) -> Iterator[str]:
    """An author on own heads beyond random ones, and the descriptions true beyond chance: what stands before any score.

    ``row``: of `describe.pipeline.score_report`.
    """
    level, random = row.get("level"), row["placebos"].get("random")
    if row["of"] == "heads" and level is not None and random is not None:
        excess = level["excess"]
        yield (
            f"{of_whom(row)}: described: own {level['described']} of {level['heads']}, random {random['described']} of"
            f" {random['heads']}, excess {excess['value']:.2f} [{excess['low']:.2f}, {excess['high']:.2f}]"
        )
        judged = f"{row['measure']} of {row['judge']}"
        if row["judge"] and level["scored"] and level["bar"] is None:
            yield f"{of_whom(row)}: no description of a random head has a score by {judged}"
        elif row["judge"] and level["scored"]:
            yield (
                f"{of_whom(row)}: beats the level of random heads by {judged}: {level['above']} of {level['scored']}"
                f" descriptions ({estimate_text(level['share_above'])})"
            )
    if row["nearest"]:
        right = estimate_text(row["nearest"])
        yield f"{of_whom(row)}: naming the nearest of five tokens is right in {right}, by chance 0.200"
    if found := row["beyond_chance"]:
        yield (
            f"{of_whom(row)}: true beyond chance by {row['measure']} of {row['judge']}: {found['descriptions']} of"
            f" {found['of']} descriptions (q < 0.05)"
        )


def of_whom(row: dict[str, Any]) -> str:
    """The author of a row's descriptions, and whether they are of roles."""
    return f"{row['llm']} ({row['prompt']}){', roles' if row.get('of') == 'roles' else ''}"


def estimate_text(found: Mapping[str, float | None] | None) -> str:
    """A value with its interval: ``0.800 [0.700, 0.900]``."""
    if not found:
        return "-"
    ends = "" if found["low"] is None or found["high"] is None else f" [{found['low']:.3f}, {found['high']:.3f}]"
    return f"{found['value']:.3f}{ends}"

"""Tables that ``score --report`` shows besides the means: coverage against score, and the heads to look at."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from app.saying import say
from describe.score_levels import of_whom

__all__ = ["best_share", "draw_curves", "draw_heads_to_look_at"]

SHARES = tuple(range(10, 101, 10))
"""Per cent of the heads."""

MOST_NAMED = 20


def draw_curves(found: Sequence[dict[str, Any]]) -> None:
    """The mean score of the best-scored descriptions, and of as many wrong ones that were sorted in the same way."""
    from app.terminal import draw_table

    rows = [
        (who if name == "curve" else "", "" if name == "curve" else "wrong ones", *_cells(points))
        for row in found
        for who in [f"{of_whom(row)}, judged by {row['judge']}"]
        for name in ("curve", "wrong_curve")
        if (points := row[name])
    ]
    if rows:
        shown = max(sum(cell != "" for cell in row[2:]) for row in rows)
        headings = ("best-scored share of all heads", "", *(f"{share} %" for share in SHARES[:shown]))
        title = "Coverage against score: the mean of the best-scored, the last of all that have a score"
        draw_table(headings, [row[: 2 + shown] for row in rows], title=title, right=range(2, 2 + shown))


def draw_heads_to_look_at(found: Sequence[dict[str, Any]]) -> None:
    """Abstentions on heads of which there is evidence, and placebos that were described."""
    for row in found:
        if row["unclear_with_evidence"]:
            say(f"Unclear although there is evidence, {of_whom(row)}: {_named(row['unclear_with_evidence'])}")
        for kind, placebo in row["placebos"].items() if row.get("of") != "roles" else ():
            if placebo and placebo["described_heads"]:
                say(f"Described though a placebo ({kind}), {of_whom(row)}: {_named(placebo['described_heads'])}")


def best_share(points: Sequence[dict[str, float]], share: float) -> float | None:
    """The mean score of the best-scored ``share`` of all heads; None where fewer have a score."""
    if not points or points[-1]["coverage"] < share:
        return None
    return _score(next(point for point in points if point["coverage"] >= share))


def _cells(points: Sequence[dict[str, float]]) -> list[str]:
    """The mean score by share of heads; where the scores end, their mean and how far they go."""
    reached = takewhile(lambda mean: mean is not None, (best_share(points, share / 100) for share in SHARES))
    cells = [f"{mean:.3f}" for mean in reached]
    end = points[-1]["coverage"]
    if end > len(cells) / len(SHARES):
        cells.append(f"{_score(points[-1]):.3f} at {end:.0%}".replace("%", " %"))
    return [*cells, *[""] * (len(SHARES) - len(cells))]


def _score(point: dict[str, float]) -> float:
    return next(value for name, value in point.items() if name != "coverage")


def _named(heads: Sequence[str]) -> str:
    more = f" and {len(heads) - MOST_NAMED} more (--json lists all)" if len(heads) > MOST_NAMED else ""
    return ", ".join(heads[:MOST_NAMED]) + more

"""Simulated ratings: raters and heads that differ, with true rates that are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import norm

__all__ = ["Truth", "simulate", "true_rate"]

LAYERS, HEADS_PER_LAYER = 12, 9


@dataclass(frozen=True)
class Truth:
    """The chance that a rater says "fits", by kind, for a middling rater and head; and how much these differ.

    Attributes:
        heads, raters: standard deviations, on the logit scale, of what is head's and rater's own.
        partly: the share of "partly" among what is not "fits"; the rest is split between the other two answers.
        sees: the chance of a clear or weak pattern where the describer said something, and where it said "Unclear".
    """

    real: float = 0.7
    swap_easy: float = 0.1
    swap_hard: float = 0.3
    shuffled: float = 0.4
    heads: float = 0.8
    raters: float = 0.5
    partly: float = 0.4
    sees: tuple[float, float] = (0.9, 0.3)
    unclear: float = 0.15


def true_rate(chance: float, spread: float) -> float:
    """The mean of a logit-normal chance over heads and raters, by quadrature."""
    quantiles = (np.arange(4000) + 0.5) / 4000
    return float(expit(logit(chance) + spread * norm.ppf(quantiles)).mean())


def simulate(
    seed: int,
    truth: Truth = Truth(),
    *,
    heads: int = 60,
    controls: int = 15,
    catches: int = 6,
    raters: int = 8,
    raters_per_item: int = 3,
    repeats: float = 0.08,
    careless: int = 0,
    sources: tuple[str, ...] = ("openai:some-model salient-1",),
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A study's ratings and settings; the last ``careless`` raters answer at random and fast."""
    random = np.random.default_rng(seed)
    of_head, of_rater = random.normal(0, truth.heads, heads), random.normal(0, truth.raters, raters)
    abstains = random.random(heads) < truth.unclear
    items = _items(random, heads, controls, catches, sources, abstains)
    rows = []
    position = dict.fromkeys(range(raters), 0)
    for number, item in enumerate(items, start=1):
        for rater in ((number * raters_per_item + k) % raters for k in range(raters_per_item)):
            for occasion in (1, 2) if random.random() < repeats and item["kind"] != "catch" else (1,):
                position[rater] += 1
                shift = of_rater[rater] + (0 if item["of"] is None else of_head[item["of"]])
                answer = _answer(random, truth, item, shift, rater >= raters - careless)
                place = {
                    "rater": f"R{rater + 1:02d}",
                    "item": number,
                    "occasion": occasion,
                    "position": position[rater],
                }
                rows.append(place | {k: v for k, v in item.items() if k != "of"} | answer)
    study = {
        "name": "simulated",
        "models": ["demo"],
        "created": "2026-11-02T09:00:00+00:00",
        "seed": seed,
        "raters_per_item": raters_per_item,
        "guideline": "Look at the table first.",
        "exclusion": {"max_failed_catch": 0.34, "min_seconds_per_item": 4, "max_repeat_disagreement": 0.8},
        "n_items": pd.Series([item["kind"] for item in items]).value_counts().to_dict(),
        "version": "0.1.0",
    }
    return pd.DataFrame(rows), study


def _items(
    random: np.random.Generator, heads: int, controls: int, catches: int, sources: tuple[str, ...], abstains: Any
) -> list[dict[str, Any]]:
    def item(kind: str, of: int | None, source: str, unclear: bool, expected: str | None = None) -> dict[str, Any]:
        place = (0, 0) if of is None else divmod(of * LAYERS * HEADS_PER_LAYER // heads, HEADS_PER_LAYER)
        return {
            "of": of,
            "kind": kind,
            "expected": expected,
            "model": "demo",
            "head": f"{place[0]}.{place[1]}",
            "layer": place[0],
            "source": source,
            "unclear": unclear,
            "true_unclear": of is not None and bool(abstains[of]),
            "score": float("nan"),
        }

    found = [item("real", head, source, bool(abstains[head])) for head in range(heads) for source in sources]
    for kind in ("swap_easy", "swap_hard", "shuffled"):
        chosen = random.choice(heads, controls, replace=False)
        found += [item(kind, int(head), sources[0], False) for head in chosen]
    for number in range(catches):
        found.append(item("catch", None, sources[0], False, ("fits", "does not fit")[number % 2]))
    return [found[k] for k in random.permutation(len(found))]


def _answer(
    random: np.random.Generator, truth: Truth, item: dict[str, Any], shift: float, careless: bool
) -> dict[str, Any]:
    if careless:
        fit = str(random.choice(["fits", "partly", "does not fit", "can't tell"]))
    elif item["kind"] == "catch":
        fit = item["expected"]
    elif random.random() < expit(logit(getattr(truth, item["kind"])) + shift):
        fit = "fits"
    else:
        fit = str(random.choice(["partly", "does not fit", "can't tell"], p=[truth.partly, 0.9 - truth.partly, 0.1]))
    sees = random.random() < truth.sees[item["true_unclear"]]
    seconds = random.lognormal(0.0 if careless else 2.5, 0.6, size=2)
    shown = pd.Timestamp("2026-11-03T10:00:00Z")
    return {
        "presence": str(random.choice(["clear", "weak"], p=[0.7, 0.3])) if sees else "none",
        "own_words": None,
        "fit": fit,
        "coverage": str(random.choice(["few", "most", "all"])),
        "scope": None if random.random() < 0.5 else "right",
        "comment": None,
        "revisions": int(random.random() < 0.05),
        "seconds_a": float(seconds[0]),
        "seconds_b": float(seconds[1]),
        "shown_at": shown,
        "answered_at": shown + pd.Timedelta(seconds=float(seconds.sum())),
    }

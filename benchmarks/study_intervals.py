"""How often the intervals of a study's report cover the true share, by raters and by how much heads and raters differ.

``python -m benchmarks.study_intervals`` prints the table in docs/study-report.md.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.special import expit, logit

from annotations.statistics import Interval, between
from describe.statistics import resample, wilson
from tests.ratings import true_rate

DESIGNS = ((2, 30, 2), (3, 30, 3), (5, 40, 3), (10, 40, 3), (10, 120, 3), (20, 100, 3))
SPREADS = ((0.0, 0.0), (1.0, 0.5), (1.0, 1.0))
CHANCE, DRAWS = 0.7, 600


def covered(random: np.random.Generator, design: tuple[int, int, int], spread: tuple[float, float]) -> np.ndarray:
    """One study: whether Wilson's interval and the bootstrap's cover the true share."""
    raters, heads, per_item = design
    asked = np.zeros((heads, raters))
    for head in range(heads):
        asked[head, [(head * per_item + k) % raters for k in range(per_item)]] = 1
    own = random.normal(0, spread[0], (heads, 1)) + random.normal(0, spread[1], (1, raters))
    hits = (random.random(asked.shape) < expit(logit(CHANCE) + own)) * asked
    drawn = resample(heads, raters, int(random.integers(2**31)), DRAWS)
    with np.errstate(invalid="ignore"):
        found = between(drawn.total(hits) / drawn.total(asked), "bootstrap")
    true = true_rate(CHANCE, float(np.hypot(*spread)))
    told = wilson(int(hits.sum()), int(asked.sum()))
    both = (told, found if isinstance(found, Interval) else Interval("", 1, 0))
    return np.array([interval.low <= true <= interval.high for interval in both])


def main() -> None:
    """Print the coverage of both intervals for every design and spread."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=500)
    studies = parser.parse_args().studies
    random = np.random.default_rng(0)
    print("| raters | heads | raters per item | spread of heads, raters | Wilson | bootstrap |")
    print("| ---: | ---: | ---: | --- | ---: | ---: |")
    for design in DESIGNS:
        for spread in SPREADS:
            share = np.mean([covered(random, design, spread) for _ in range(studies)], axis=0)
            place = " | ".join(map(str, design))
            print(f"| {place} | {spread[0]:g}, {spread[1]:g} | {share[0]:.0%} | {share[1]:.0%} |")


if __name__ == "__main__":
    main()

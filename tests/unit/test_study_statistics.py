"""The statistics of ratings against published worked examples, statsmodels, literal loops and known true rates."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from scipy.stats import binom, norm

from annotations.report.sample import Sample
from annotations.statistics import Interval, agreement, between, d_prime, pairs_of
from describe.statistics import auroc, resample, wilson
from tests.ratings import true_rate

_ = None
# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", example C: four observers, twelve units. Gwet's
# Handbook of Inter-Rater Reliability (4th ed., 2014) uses the same data; irrCAC has them as cac.raw4raters.
FOUR_OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
    [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
]
# The same paper, example A: two observers, ten units, two values.
TWO_OBSERVERS = [[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]]
# Gwet (2014): two abstractors, 100 pregnant women, three types; irrCAC has them as cont3x3abstractors.
ABSTRACTORS = [[13, 0, 0], [0, 20, 7], [0, 4, 56]]


def counted(observers: list[list[Any]], scale: list[int]) -> np.ndarray:
    """How many observers gave each value to each unit."""
    return np.array([[[row[unit] for row in observers].count(k) for k in scale] for unit in range(len(observers[0]))])


def from_table(table: list[list[int]]) -> np.ndarray:
    eye = np.eye(len(table))
    return np.array([eye[i] + eye[j] for i, row in enumerate(table) for j, n in enumerate(row) for _ in range(n)])


def test_published_examples_of_alpha_and_ac1() -> None:
    four = pairs_of(counted(FOUR_OBSERVERS, [1, 2, 3, 4, 5]))
    assert agreement(four).alpha == pytest.approx(0.743, abs=0.0005)
    assert agreement(four, "ordinal").alpha == pytest.approx(0.815, abs=0.0005)
    assert agreement(four).raw == pytest.approx(0.8181818, abs=1e-7)
    assert agreement(four).ac1 == pytest.approx(0.77544, abs=0.000005)
    assert agreement(pairs_of(counted(TWO_OBSERVERS, [0, 1]))).alpha == pytest.approx(0.095, abs=0.0005)
    women = agreement(pairs_of(from_table(ABSTRACTORS)))
    assert women.raw == pytest.approx(0.89)
    assert women.ac1 == pytest.approx(0.8493305, abs=1e-7)
    assert women.alpha == pytest.approx(0.7972585, abs=1e-7)


def literal_alpha(units: list[list[int]], ordinal: bool) -> float:
    """1 - D_o / D_e over all pairs of values, written out."""
    units = [unit for unit in units if len(unit) > 1]
    values = [value for unit in units for value in unit]
    n_of = {value: values.count(value) for value in set(values)}

    def distance(a: int, b: int) -> float:
        if not ordinal:
            return float(a != b)
        between_them = sum(n for value, n in n_of.items() if min(a, b) <= value <= max(a, b))
        return (between_them - (n_of[a] + n_of[b]) / 2) ** 2

    observed = sum(distance(a, b) / (len(unit) - 1) for unit in units for a, b in permutations(unit, 2))
    expected = sum(distance(a, b) for a, b in permutations(values, 2)) / (len(values) - 1)
    return 1 - observed / expected


@pytest.mark.parametrize("seed", range(5))
def test_alpha_is_that_of_all_pairs_with_answers_missing(seed: int) -> None:
    random = np.random.default_rng(seed)
    units = [list(random.choice(4, random.integers(0, 5), p=[0.5, 0.3, 0.1, 0.1])) for _ in range(25)]
    told = pairs_of([[unit.count(k) for k in range(4)] for unit in units])
    assert agreement(told).alpha == pytest.approx(literal_alpha(units, ordinal=False))
    assert agreement(told, "ordinal").alpha == pytest.approx(literal_alpha(units, ordinal=True))


def test_weighing_items_is_repeating_them() -> None:
    random = np.random.default_rng(1)
    counts = random.integers(0, 3, (20, 3))
    weights = random.multinomial(20, np.full(20, 0.05), size=4)
    drawn = agreement(pairs_of(counts, weights), "ordinal")
    for k, weight in enumerate(weights):
        repeated = agreement(pairs_of(np.repeat(counts, weight, axis=0)), "ordinal")
        np.testing.assert_allclose([found[k] for found in drawn], repeated)


def test_on_skewed_answers_alpha_falls_while_raters_agree() -> None:
    """Why the three stand together: 198 of 200 pairs agree, all on the same answer."""
    found = agreement(pairs_of([[2, 0]] * 198 + [[1, 1]] * 2))
    assert found.raw > 0.98
    assert found.ac1 > 0.98
    assert abs(found.alpha) < 0.01


def test_agreement_that_is_not_defined_is_not_a_number() -> None:
    assert np.isnan(agreement(pairs_of([[2, 0], [3, 0]])).alpha)
    assert np.isnan(agreement(pairs_of([[1, 0], [0, 1]])).raw)


def test_wilson_is_that_of_statsmodels() -> None:
    statsmodels = pytest.importorskip("statsmodels.stats.proportion")
    for n in (1, 7, 60, 1500):
        for hits in {0, 1, n // 3, n}:
            found = wilson(hits, n)
            expected = statsmodels.proportion_confint(hits, n, method="wilson")
            assert (found.low, found.high) == pytest.approx(expected, abs=1e-12)


def test_d_prime() -> None:
    """Literal log-linear formula; with many items the textbook's z(0.8) - z(0.2); finite for perfect raters."""
    found = d_prime(20, 25, 3, 25)
    assert found.value == pytest.approx(norm.ppf(20.5 / 26) - norm.ppf(3.5 / 26))
    assert found.criterion == pytest.approx(-(norm.ppf(20.5 / 26) + norm.ppf(3.5 / 26)) / 2)
    assert d_prime(80_000, 100_000, 20_000, 100_000).value == pytest.approx(1.6832, abs=1e-3)
    perfect = d_prime(np.array([10, 5]), 10, np.array([0, 5]), 10)
    assert np.isfinite(np.array(perfect)).all()
    assert perfect.value[1] == 0


def test_the_normal_interval_of_d_prime_covers_the_true_one() -> None:
    random = np.random.default_rng(0)
    hits, alarms = random.binomial(60, 0.75, 4000), random.binomial(30, 0.2, 4000)
    found = d_prime(hits, 60, alarms, 30)
    true = norm.ppf(0.75) - norm.ppf(0.2)
    assert 0.94 <= np.mean((found.low <= true) & (true <= found.high)) <= 0.98


def test_draws_are_of_heads_and_raters_and_repeatable() -> None:
    drawn, again, other = (resample(9, 4, seed, 50) for seed in (3, 3, 4))
    assert (drawn.heads == again.heads).all()
    assert (drawn.heads != other.heads).any()
    assert (drawn.heads.sum(axis=1) == 9).all()
    assert (drawn.raters.sum(axis=1) == 4).all()
    cells = np.random.default_rng(0).random((9, 4))
    literal = [
        sum(drawn.heads[b, i] * drawn.raters[b, r] * cells[i, r] for i in range(9) for r in range(4)) for b in range(50)
    ]
    np.testing.assert_allclose(drawn.total(cells), literal)
    np.testing.assert_allclose((drawn.by_rater(cells) * drawn.raters).sum(axis=1), literal)


def test_draws_that_say_nothing_are_words() -> None:
    assert "every draw is the same" in str(between(np.ones(100), "bootstrap"))
    assert "too few" in str(between(np.r_[np.full(50, np.nan), np.arange(50.0)], "bootstrap"))
    assert between(np.linspace(0, 1, 1001), "bootstrap") == pytest.approx(Interval("bootstrap", 0.025, 0.975))


def small_study(random: np.random.Generator, chances: dict[str, float], spread: tuple[float, float]) -> pd.DataFrame:
    """40 heads with an own and another description each, 10 raters, 3 of whom answer each item."""
    heads, raters, per_item = 40, 10, 3
    of_head, of_rater = random.normal(0, spread[0], heads), random.normal(0, spread[1], raters)
    head = np.repeat(np.arange(heads), per_item * 2)
    kind = np.tile(np.repeat(list(chances), per_item), heads)
    rater = np.arange(len(head)) % raters
    chance = expit(logit(pd.Series(kind).map(chances).to_numpy()) + of_head[head] + of_rater[rater])
    rows = {"model": "m", "head": head, "item": np.arange(len(head)) // per_item, "rater": rater, "kind": kind}
    return pd.DataFrame(rows | {"fits": random.random(len(head)) < chance})


@pytest.mark.parametrize("spread", [(0.0, 0.0), (1.0, 1.0)])
def test_intervals_cover_the_true_rates(spread: tuple[float, float]) -> None:
    """A share, a difference and d' of 150 small studies: missed no oftener than 1 in 20, within binomial chance.

    Wilson's interval covers too where answers are independent, and not where heads and raters differ.
    """
    studies, chances = 150, {"real": 0.7, "swap": 0.25}
    random = np.random.default_rng(11)
    share, other = (true_rate(chance, float(np.hypot(*spread))) for chance in chances.values())
    truths = {"share": share, "difference": share - other, "d'": norm.ppf(share) - norm.ppf(other)}
    covered = dict.fromkeys([*truths, "wilson"], 0)
    for seed in range(studies):
        sample = Sample(small_study(random, chances, spread), seed, 300)
        real, hit = sample.rows["kind"] == "real", sample.rows["fits"]
        figures = {
            "share": sample.share("", "", "", real, hit),
            "difference": sample.difference("", "", "", (real, ~real), hit),
            "d'": sample.detection("", "", (real, ~real), hit)[0],
        }
        for name, figure in figures.items():
            found = figure.intervals[-1]
            covered[name] += found.low <= truths[name] <= found.high
        found = figures["share"].intervals[0]
        covered["wilson"] += found.low <= share <= found.high
    least = binom.ppf(0.001, studies, 0.95)
    assert all(covered[name] >= least for name in truths), covered
    assert (covered["wilson"] >= least) == (spread == (0.0, 0.0)), covered


def test_intervals_of_agreement_cover_the_true_values() -> None:
    """Three raters who each mistake an item with chance 0.2; true values in closed form."""
    studies, items, error, yes = 150, 60, 0.2, 0.7
    random = np.random.default_rng(5)
    q = yes * (1 - error) + (1 - yes) * error
    apart, chance = 2 * error * (1 - error), 2 * q * (1 - q)
    truths = {"raw": 1 - apart, "alpha": 1 - apart / chance, "ac1": 1 - apart / (1 - chance)}
    covered = dict.fromkeys(truths, 0)
    for seed in range(studies):
        said = (random.random((items, 3)) < error) ^ (random.random((items, 1)) < yes)
        counts = np.stack([said.sum(axis=1), 3 - said.sum(axis=1)], axis=1)
        drawn = agreement(pairs_of(counts, resample(items, 3, seed, 400).heads))._asdict()
        for name, true in truths.items():
            found = between(drawn[name], "bootstrap")
            assert isinstance(found, Interval)
            covered[name] += found.low <= true <= found.high
    assert all(count >= binom.ppf(0.001, studies, 0.95) for count in covered.values()), covered


def test_auroc_is_the_share_of_pairs_in_order() -> None:
    """Against a loop over all pairs, ties included; weights count answers several times, or not at all."""
    random = np.random.default_rng(0)
    scores, yes = random.integers(0, 8, 60) / 8, random.random(60) < 0.4
    weights = random.integers(0, 3, (5, 60))

    def literal(scores: Any, yes: Any) -> float:
        pairs = [(a > b) + (a == b) / 2 for a in scores[yes] for b in scores[~yes]]
        return float(np.mean(pairs))

    assert auroc(scores, yes)[0] == pytest.approx(literal(scores, yes))
    for found, weight in zip(auroc(scores, yes, weights), weights, strict=True):
        assert found == pytest.approx(literal(np.repeat(scores, weight), np.repeat(yes, weight)))
    assert auroc([1, 2, 3], [False, True, True])[0] == 1
    assert np.isnan(auroc([1, 2], [True, True])[0])
    assert np.isnan(auroc([], [])[0])

"""The statistics that evidence, scores and studies share, against closed forms written out, and scipy's own."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from describe.scoring import mean_over_heads
from describe.statistics import Scatter, auroc, auroc_of, resample, significance, wilson
from tests import statistics_oracle as oracle

TESTS = 300


@pytest.fixture
def pick() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.mark.parametrize("n", [1, 7, 30, 150])
def test_tails_are_those_of_the_closed_forms_down_to_the_smallest(pick: np.random.Generator, n: int) -> None:
    count, p = pick.integers(0, n + 1, TESTS), pick.random(TESTS) ** 6
    ours = significance.binomial_tail(count, np.array(n), p)
    np.testing.assert_allclose(ours, oracle.binomial_tail(count, n, p), rtol=1e-9, atol=1e-280)
    assert n < 30 or ours.min() < 1e-20, "far beyond what 1 - cdf can tell"
    of = Scatter(p, np.maximum(pick.random(TESTS) / 3, 1e-6))
    ours = significance.beta_binomial_tail(count, n, of)
    np.testing.assert_allclose(ours, oracle.beta_binomial_tail(count, n, *of), rtol=1e-9, atol=1e-280)
    chances = np.round(pick.random((TESTS, n)) ** pick.integers(1, 9, (TESTS, 1)) * 30) / 30  # shares of 30 rows
    ours = significance._poisson_binomial_tail(chances, count)
    np.testing.assert_allclose(ours, oracle.poisson_binomial_tail(chances, count), rtol=1e-9, atol=1e-280)
    assert ours.shape == (TESTS,)


def test_certain_and_impossible_counts() -> None:
    p = np.array([0.0, 1.0, 0.3])
    assert significance.binomial_tail(np.array([0, 5, 6]), np.array(5), p).tolist() == [1.0, 1.0, 0.0]
    sure = np.array([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    assert significance._poisson_binomial_tail(sure, np.array([2, 0, 1])).tolist() == [1.0, 1.0, 0.0]


@pytest.mark.parametrize("n", [0, 1, 2, 5000])
def test_q_values_are_those_of_the_closed_form(pick: np.random.Generator, n: int) -> None:
    p = np.round(pick.random(n) ** 4, 3)  # with ties, zeros and ones
    np.testing.assert_allclose(significance.benjamini_hochberg(p), oracle.benjamini_hochberg(p), rtol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 59])
def test_the_bootstrap_over_heads_is_the_common_one(pick: np.random.Generator, n: int) -> None:
    """Of scipy, draw by draw, where it takes a sample of that size, and written out."""
    values = pick.random(n)
    found = mean_over_heads(list(values))
    assert found[1:] == pytest.approx(oracle.mean_over_heads(values), rel=1e-12)
    if n > 1:
        rng, draws = np.random.default_rng(0), 2000
        interval = stats.bootstrap((values,), np.mean, n_resamples=draws, method="percentile", rng=rng)
        assert found[1:] == pytest.approx(tuple(interval.confidence_interval), rel=1e-12)


def test_draws_of_heads_are_the_same_whatever_raters_there_are() -> None:
    assert (resample(7, seed=3).heads == resample(7, 4, 3).heads).all()
    assert (resample(7, seed=3).raters == 1).all()


def test_an_auroc_is_that_of_mann_and_whitney(pick: np.random.Generator) -> None:
    own, others = pick.integers(0, 9, 40) / 9, pick.integers(0, 9, 60) / 9 - 0.1
    expected = stats.mannwhitneyu(own, others).statistic / (40 * 60)
    assert auroc(np.concatenate([own, others]), np.arange(100) < 40)[0] == pytest.approx(expected, rel=1e-12)
    found = auroc_of(list(own), list(others))
    assert found.value == pytest.approx(expected, rel=1e-12)
    assert found.low < expected < found.high


def test_wilson_is_that_of_scipy_and_takes_ties() -> None:
    for n in (1, 7, 60, 1500):
        for hits in {0, 1, n // 3, n}:
            expected = stats.binomtest(hits, n).proportion_ci(0.95, method="wilson")
            assert wilson(hits, n)[1:] == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert wilson(1, 7).low < wilson(1.5, 7).low < wilson(2, 7).low

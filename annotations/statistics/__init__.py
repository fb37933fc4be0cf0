"""The statistics of ratings: pure functions on counts; docs/study-report.md has every formula and its source.

What scores need too (Wilson's interval, AUROC, the bootstrap) is in `describe.statistics`.
"""

from annotations.statistics.agreement import Agreement, Pairs, agreement, pairs_of
from annotations.statistics.detection import DPrime, d_prime
from annotations.statistics.intervals import Interval, between
from annotations.statistics.prediction import SHUFFLES, by_luck, cross_validated

__all__ = [
    "SHUFFLES",
    "Agreement",
    "DPrime",
    "Interval",
    "Pairs",
    "agreement",
    "between",
    "by_luck",
    "cross_validated",
    "d_prime",
    "pairs_of",
]

"""The statistics of ratings: pure functions on counts; docs/study-report.md has every formula and its source."""

from annotations.statistics.agreement import Agreement, Pairs, agreement, pairs_of
from annotations.statistics.detection import DPrime, d_prime
from annotations.statistics.intervals import CONFIDENCE, DRAWS, Interval, between, wilson
from annotations.statistics.ranking import auroc
from annotations.statistics.resampling import Resampling, resample

__all__ = [
    "CONFIDENCE",
    "DRAWS",
    "Agreement",
    "DPrime",
    "Interval",
    "Pairs",
    "Resampling",
    "agreement",
    "auroc",
    "between",
    "d_prime",
    "pairs_of",
    "resample",
    "wilson",
]

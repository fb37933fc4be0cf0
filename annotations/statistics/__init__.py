"""The statistics of ratings: pure functions on counts; docs/study-report.md has every formula and its source.

What scores need too (Wilson's interval, AUROC, the bootstrap) is in `describe.statistics`.
"""

from annotations.statistics.agreement import Agreement, Pairs, agreement, pairs_of
from annotations.statistics.detection import DPrime, d_prime
from annotations.statistics.intervals import Interval, between

__all__ = ["Agreement", "DPrime", "Interval", "Pairs", "agreement", "between", "d_prime", "pairs_of"]

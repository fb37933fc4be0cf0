"""The statistics that evidence, scores and studies share: each in one place, scipy's where scipy has it."""

from describe.statistics.intervals import CONFIDENCE, Estimate, difference, middle, newcombe, wilson
from describe.statistics.ranking import auroc, auroc_of
from describe.statistics.resampling import DRAWS, Resampling, resample
from describe.statistics.significance import (
    Scatter,
    benjamini_hochberg,
    beta_binomial,
    beta_binomial_tail,
    binomial_tail,
    cohens_h,
    scatter,
    shuffled_tail,
    upper_tail,
)

__all__ = [
    "CONFIDENCE",
    "DRAWS",
    "Estimate",
    "Resampling",
    "Scatter",
    "auroc",
    "auroc_of",
    "benjamini_hochberg",
    "beta_binomial",
    "beta_binomial_tail",
    "binomial_tail",
    "cohens_h",
    "difference",
    "middle",
    "newcombe",
    "resample",
    "scatter",
    "shuffled_tail",
    "upper_tail",
    "wilson",
]

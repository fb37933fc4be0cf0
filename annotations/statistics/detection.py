"""Signal detection: how well raters tell own descriptions from others, apart from how readily they say yes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from describe.statistics import CONFIDENCE

__all__ = ["DPrime", "d_prime"]

Array = npt.NDArray[Any]


class DPrime(NamedTuple):
    """Sensitivity and what belongs to it, each of the shape of the counts.

    Attributes:
        value: d' = z(H) - z(F), in standard deviations.
        criterion: c = -(z(H) + z(F)) / 2; above 0 the rater says "fits" sparingly.
        low, high: from the normal approximation of d' (Gourevitch and Galanter 1967).
    """

    value: Array
    criterion: Array
    low: Array
    high: Array


def d_prime(hits: Any, signals: Any, false_alarms: Any, noises: Any) -> DPrime:
    """d' of ``hits`` among ``signals`` and ``false_alarms`` among ``noises``; numbers or arrays.

    The log-linear correction (Hautus 1995) adds half an answer to each count and one to each total, so rates of 0 and 1
    have a z-score, and a rater of few items comes out nearer 0.
    """
    from scipy.stats import norm

    n_signal, n_noise = np.asarray(signals) + 1.0, np.asarray(noises) + 1.0
    hit, alarm = (np.asarray(hits) + 0.5) / n_signal, (np.asarray(false_alarms) + 0.5) / n_noise
    z_hit, z_alarm = norm.ppf(hit), norm.ppf(alarm)
    value = z_hit - z_alarm
    variance = hit * (1 - hit) / (n_signal * norm.pdf(z_hit) ** 2)
    variance = variance + alarm * (1 - alarm) / (n_noise * norm.pdf(z_alarm) ** 2)
    reach = norm.ppf((1 + CONFIDENCE) / 2) * np.sqrt(variance)
    return DPrime(value, -(z_hit + z_alarm) / 2, value - reach, value + reach)

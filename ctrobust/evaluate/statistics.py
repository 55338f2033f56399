"""Intervals for a mean over slices whose errors go together within a patient."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

FEWEST_CLUSTERS = 6


def clustered_interval(
    values: NDArray[np.float64], groups: Sequence[object], confidence: float = 0.95
) -> tuple[float, float] | None:
    """Interval of the mean of (N,) values, clustered by (N,) groups; None with fewer than 6 groups.

    The linearised variance of a ratio of cluster totals, with Student's t on clusters − 1 degrees of freedom
    (Cochran, Sampling Techniques, 1977, ch. 11).
    """
    _, member = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    clusters = int(member.max()) + 1 if len(member) else 0
    if clusters < FEWEST_CLUSTERS:
        return None
    mean = values.mean()
    residuals = np.bincount(member, values - mean)
    variance = clusters / (clusters - 1) * np.square(residuals).sum() / len(values) ** 2
    half = t.ppf((1 + confidence) / 2, clusters - 1) * np.sqrt(variance)
    return float(mean - half), float(mean + half)

"""Intervals for a mean over slices whose errors go together within a patient; and which slices are the worst."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FEWEST_PATIENTS = 6
LEVEL = 0.05
WORST_SHARE, MOST_WORST = 0.01, 12


@dataclass(frozen=True)
class Interval:
    """A mean over slices, its 95 % interval over patients, and the two-sided p of its being 0."""

    mean: float
    low: float
    high: float
    p: float

    @property
    def both(self) -> tuple[float, float]:
        return self.low, self.high


def interval(values: Array, patients: Sequence[object]) -> Interval:
    """Of the mean of (N,) values: linearised variance of a ratio of cluster totals, t on clusters − 1 degrees.

    Cochran, Sampling Techniques, 1977, ch. 11. Two patients at least.
    """
    # A tenth of a second to load, for a page that may have nothing to compare.
    from scipy.special import stdtr, stdtrit

    _, member = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    clusters = int(member.max()) + 1
    mean = float(values.mean())
    totals = np.bincount(member, values - mean)
    error = math.sqrt(clusters / (clusters - 1) * np.square(totals).sum()) / len(values)
    half = float(stdtrit(clusters - 1, (2 - LEVEL) / 2)) * error
    # Equal values: what differs at all differs for certain.
    p = 2 * float(stdtr(clusters - 1, -abs(mean) / error)) if error > 0 else float(mean == 0)
    return Interval(mean, mean - half, mean + half, p)


def clustered_interval(values: Array, patients: Sequence[object]) -> tuple[float, float] | None:
    """The 95 % interval alone; None with fewer than 6 patients."""
    return None if why_no_interval(patients) else interval(values, patients).both


def why_no_interval(patients: Sequence[object]) -> str | None:
    """What keeps an interval from being drawn; None where nothing does."""
    count = len(set(map(str, patients)))
    return None if count >= FEWEST_PATIENTS else f"{count} patients, fewer than {FEWEST_PATIENTS}"


def worst_places(errors: Array) -> list[int]:
    """Where the worst 1 % of (N,) errors stand, worst first: one at least, 12 at most."""
    count = min(MOST_WORST, math.ceil(WORST_SHARE * len(errors)))
    return [int(place) for place in np.argsort(-errors, kind="stable")[:count]]

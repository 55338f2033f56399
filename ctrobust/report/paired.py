"""Two methods on the same slices: the interval of their paired difference, clustered by patient.

Here and not in `evaluate`, which judges one run at a time: only the page sees several. The interval is that of
`ctrobust.evaluate.statistics`, and a test holds the two together; a reader of result files must not load torch for it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FEWEST_PATIENTS = 6
LEVEL = 0.05


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


@dataclass(frozen=True)
class Paired:
    """One method against another on the slices both were judged on.

    difference: mean of e_i − e'_i; ratio: geometric mean of e_i/e'_i, None where an error is 0. Without intervals
    `reason` says why. p_holm: of the difference, corrected for all comparisons it was made with.
    """

    slices: int
    patients: int
    difference: float
    difference_ci95: tuple[float, float] | None
    ratio: float | None
    ratio_ci95: tuple[float, float] | None
    p: float | None
    p_holm: float | None = None
    reason: str = ""

    @property
    def significant(self) -> bool:
        """At 5 % over all the comparisons together."""
        return self.p_holm is not None and self.p_holm < LEVEL


def paired(errors: Array, others: Array, patients: Sequence[object]) -> Paired:
    """Compare (N,) errors of one method with those of another on the same slices; `patients`: (N,), whose they are.

    Raises ValueError where the three do not pair up.
    """
    if not len(errors) == len(others) == len(patients) or not len(errors):
        raise ValueError(
            f"errors, others, patients: {len(errors)}, {len(others)}, {len(patients)} slices; give the same, "
            "one at least"
        )
    count = len(set(map(str, patients)))
    difference = errors - others
    logs = np.log(errors / others) if (errors > 0).all() and (others > 0).all() else None
    ratio = None if logs is None else math.exp(logs.mean())
    if count < FEWEST_PATIENTS:
        reason = f"{count} patient{'s' if count != 1 else ''}; an interval needs at least {FEWEST_PATIENTS}"
        return Paired(len(errors), count, float(difference.mean()), None, ratio, None, None, reason=reason)
    of_difference = interval(difference, patients)
    of_logs = None if logs is None else interval(logs, patients)
    return Paired(
        len(errors),
        count,
        of_difference.mean,
        of_difference.both,
        ratio,
        None if of_logs is None else (math.exp(of_logs.low), math.exp(of_logs.high)),
        of_difference.p,
    )


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


def interval_of_mean(values: Array, patients: Sequence[object]) -> tuple[float, float] | None:
    """The same alone; None with fewer than 6 patients."""
    if len(set(map(str, patients))) < FEWEST_PATIENTS:
        return None
    return interval(values, patients).both


def corrected(comparisons: Sequence[Paired]) -> list[Paired]:
    """With p_holm over all that have a p, whose number is the multiplicity.

    p_(k) ↦ max over j ≤ k of min(1, (m − j + 1) p_(j))        (Holm, Scand. J. Statist. 6 (1979) 65)
    """
    known = sorted((each.p, place) for place, each in enumerate(comparisons) if each.p is not None)
    found, reached = list(comparisons), 0.0
    for rank, (p, place) in enumerate(known):
        reached = max(reached, min(1.0, (len(known) - rank) * p))
        found[place] = replace(found[place], p_holm=reached)
    return found

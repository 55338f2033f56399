"""Two methods on the same slices: the interval of their paired difference, clustered by patient.

Here and not in `evaluate`, which judges one run at a time: only the page sees several.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ctrobust.core.statistics import FEWEST_PATIENTS, LEVEL, interval

Array = NDArray[np.float64]


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

"""The price of robustness: the clean error against the worst-case error as ε grows."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ctrobust.theory.filters import minmax_filter
from ctrobust.theory.risk import clean_risk, worst_risk
from ctrobust.theory.spectrum import Array

Filter = Callable[[ArrayLike, float, float], Array]


@dataclass(frozen=True)
class TradeOff:
    """For each ε that a filter was made for (L,): its gains (L, k), clean error, and worst error at `judged` (L,)."""

    eps: Array
    judged: Array
    gains: Array
    clean: Array
    worst: Array


def trade_off(
    singular_values: ArrayLike,
    eps: ArrayLike,
    weight: float,
    *,
    judged: float | None = None,
    design: Filter = minmax_filter,
) -> TradeOff:
    """Filters made for each of `eps` (L,), judged under one δ for all x with ‖δ‖ ≤ `judged`, or ≤ their own ε.

    design: `minmax_filter` or any that is called alike. At one `judged` the clean error never falls as ε grows; the
    worst falls until ε² λ/(1 + λ) reaches judged², and rises beyond. Up to there the min–max filters draw the whole
    front: nothing linear has at once a lower clean and a lower worst error. Errors as in `risk`, shared δ.
    """
    made_for = np.asarray(eps, np.float64)
    if made_for.ndim != 1:
        raise ValueError(f"eps of shape {made_for.shape}: give a list of numbers")
    judged_at = made_for if judged is None else np.full_like(made_for, judged)
    gains = [design(singular_values, float(at), weight) for at in made_for]
    return TradeOff(
        eps=made_for,
        judged=judged_at,
        gains=np.array(gains),
        clean=np.array([clean_risk(singular_values, q) for q in gains]),
        worst=np.array([worst_risk(singular_values, q, at) for q, at in zip(gains, judged_at, strict=True)]),
    )

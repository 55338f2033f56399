"""Filters q of a linear reconstruction B = V diag(q) Uᵀ: the optimum of the min–max, and the classics beside it.

All are called alike, `filter(singular_values, eps, weight)`, for the objective of `risk.objective` with one δ for
all x; Tikhonov and truncation answer with the best of their family at that very objective.
"""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar

from ctrobust.theory.risk import objective
from ctrobust.theory.spectrum import Array, checked_amount, checked_spectrum


def minmax_filter(singular_values: ArrayLike, eps: float, weight: float) -> Array:
    """The gains of the B that minimises max_δ E ‖BAx − x‖² + λ ‖B(Ax + δ) − x‖², one δ of ‖δ‖ ≤ ε for all x.

        qᵢ = min(1/Sᵢ, q_m)        q_m = Σ_{i≤m} Sᵢ / (Σ_{i≤m} Sᵢ² + ε² λ/(1 + λ))        S ascending

    m: as many as the optimum clips, those with Σ_{j<i} Sⱼ (Sᵢ − Sⱼ) < ε² λ/(1 + λ). Law of x: mean 0, covariance I.
    At ε = 0 or λ = 0 nothing is clipped: the inverse.

    singular_values: (k,) in any order; eps: absolute, in the units of y; weight: λ. Returns (k,) in the order given.
    A singular value of zero gets q_m, the limit (1/min S > 0 where nothing is clipped), though there any gain up to
    q_m is as good; where all are zero the gains are 0.
    Raises ValueError on what is negative, NaN or infinite. Source: Raj, Bresler, Li (ICML 2020).
    """
    S = checked_spectrum(singular_values)
    eps, weight = checked_amount("eps", eps), checked_amount("weight", weight)
    seen = S[S > 0]
    if not len(seen):
        return np.zeros_like(S)
    return np.minimum(
        _inverse(S, at_zero=np.inf), _level(np.sort(seen), eps * math.sqrt(weight / (1 + weight)))
    )


def _level(ascending: Array, radius: float) -> float:
    """q_m, the gain at which the filter clips."""
    if radius == 0:
        return float(1 / ascending[0])
    # In units of the radius, so that squares neither overflow nor vanish where it matters.
    s = np.minimum(ascending / radius, 1e300)
    with np.errstate(over="ignore"):
        # Summed from differences of neighbours: nothing cancels, however close the singular values are.
        pull = np.concatenate([[0], np.cumsum(np.diff(s) * np.cumsum(s)[:-1])])
    clipped = s[pull < 1]
    widest = max(float(clipped[-1]), 1.0)
    shares = clipped / widest
    return float(shares.sum() / (np.square(shares).sum() + widest**-2) / widest / radius)


def pseudo_inverse_filter(singular_values: ArrayLike, eps: float = 0, weight: float = 0) -> Array:
    """1/Sᵢ, and 0 at a singular value of zero, whatever ε and λ are."""
    return _inverse(checked_spectrum(singular_values), at_zero=0)


def tikhonov_filter(singular_values: ArrayLike, eps: float, weight: float) -> Array:
    """Sᵢ/(Sᵢ² + α) with the α ≥ 0 of least objective, to about 1e-8 of log α; α = 0 is the pseudo-inverse."""
    S = checked_spectrum(singular_values)
    eps, weight = checked_amount("eps", eps), checked_amount("weight", weight)
    if not S.any():
        return np.zeros_like(S)

    def gains(log_alpha: float) -> Array:
        return S / (np.square(S) + math.exp(log_alpha))

    def cost(log_alpha: float) -> float:
        return objective(S, gains(log_alpha), eps, weight)

    # Which gain is the largest changes with α, so there may be several valleys: a grid finds the lowest.
    low, high = math.log(np.square(S[S > 0]).min()) - 20, math.log(np.square(S).max() + eps**2 * len(S)) + 5
    grid = np.linspace(low, high, 400)
    best = int(np.argmin([cost(at) for at in grid]))
    around = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = float(minimize_scalar(cost, bounds=around, method="bounded", options={"xatol": 1e-8}).x)
    candidates = [pseudo_inverse_filter(S), gains(found)]
    return min(candidates, key=lambda q: objective(S, q, eps, weight))


def truncated_filter(singular_values: ArrayLike, eps: float, weight: float) -> Array:
    """1/Sᵢ for the largest singular values and 0 for the rest, as many as give the least objective."""
    S = checked_spectrum(singular_values)
    eps, weight = checked_amount("eps", eps), checked_amount("weight", weight)
    inverse = pseudo_inverse_filter(S)
    thresholds = [*np.unique(S), np.inf]
    return min(
        (np.where(threshold <= S, inverse, 0) for threshold in thresholds),
        key=lambda q: objective(S, q, eps, weight),
    )


def _inverse(S: Array, at_zero: float) -> Array:
    with np.errstate(divide="ignore"):
        return np.where(S > 0, 1 / S, at_zero)

"""The per-sample adversary, a δ for every x: what any filter costs under it, exactly.

The law of x is given as samples: coefficients c (N, k) of each x along the right singular vectors, cᵢ = vᵢᵀx, and
every expectation is their mean. Signs do not matter. Directions that A does not see count once listed, as in `risk`.
"""

import numpy as np
from numpy.typing import ArrayLike

from ctrobust.core.seeds import derive_seed
from ctrobust.theory.secular import multiplier, over
from ctrobust.theory.spectrum import Array, checked_amount, checked_gains, checked_spectrum


def gaussian_coefficients(directions: int, count: int, seed: int) -> Array:
    """(count, directions) of Gaussian x with covariance I, quasi-random: 2¹² (a power of 2) do for four digits."""
    # Here, because half a second of import is owed by nobody who does not need it.
    from scipy.stats.qmc import MultivariateNormalQMC

    law = MultivariateNormalQMC(np.zeros(directions), seed=derive_seed(seed, "gaussian coefficients"))
    return np.asarray(law.random(count), np.float64)


def per_sample_errors(
    singular_values: ArrayLike, gains: ArrayLike, eps: float, coefficients: ArrayLike
) -> Array:
    """(N,) max over ‖δ‖ ≤ ε of ‖B(Ax + δ) − x‖² = Σ (qᵢδᵢ + (qᵢSᵢ − 1)cᵢ)², a trust-region problem for each x."""
    S = checked_spectrum(singular_values)
    q, c = checked_gains(gains, S), checked_coefficients(coefficients, S)
    radius, residual = checked_amount("eps", eps), np.abs(q * S - 1) * c
    if radius == 0:
        return np.asarray(np.square(residual).sum(1))
    distance, b = distances(q), np.abs(q) * residual
    s = multiplier(distance, b, radius)
    delta = over(b, distance + s)
    # The hard case: what is left of the ball goes along the largest gain, where nothing pulls.
    left = np.maximum(radius**2 - np.square(delta).sum(1), 0) * (s[:, 0] == 0)
    return np.asarray(np.square(np.abs(q) * delta + residual).sum(1) + left * np.square(q).max())


def per_sample_objective(
    singular_values: ArrayLike, gains: ArrayLike, eps: float, weight: float, coefficients: ArrayLike
) -> float:
    """E ‖BAx − x‖² + λ E max_δ ‖B(Ax + δ) − x‖²"""
    amount = checked_amount("weight", weight)
    clean = per_sample_errors(singular_values, gains, 0, coefficients)
    return float((clean + amount * per_sample_errors(singular_values, gains, eps, coefficients)).mean())


def distances(gains: Array) -> Array:
    """(k,) max q² − qᵢ², without cancellation."""
    q = np.abs(gains)
    return np.asarray((q.max() - q) * (q.max() + q))


def checked_coefficients(coefficients: ArrayLike, S: Array) -> Array:
    """(N, k) |cᵢ|; raises ValueError unless finite, not all zero, and with a column for each singular value."""
    c = np.abs(np.asarray(coefficients, np.float64))
    if c.ndim != 2 or c.shape[1] != len(S) or not (np.isfinite(c).all() and c.any()):
        raise ValueError(
            f"coefficients of shape {c.shape}: give finite numbers, not all of them zero, a row for each x and a "
            f"column for each of {len(S)} singular values"
        )
    return c

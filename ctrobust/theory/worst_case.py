"""The exact worst case of a linear reconstruction: a trust-region problem, solved in float64."""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.optimize import brentq

Array = NDArray[np.float64]


def worst_perturbation(F: Array, r: Array, radius: float) -> Array:
    """The δ that maximises ‖F δ + r‖² over ‖δ‖₂ ≤ radius.

    F: (n, m), r: (n,), returns (m,). The maximiser solves (μI − FᵀF) δ = Fᵀr with μ ≥ σ₁² and ‖δ‖ = radius
    (Moré and Sorensen, 1983): one secular equation in μ. In the hard case, where Fᵀr has no part along the
    top singular vector and μ = σ₁² leaves δ short, it is filled up along that vector.
    """
    eigenvalues, vectors = eigh(F.T @ F)
    b = vectors.T @ (F.T @ r)
    top = eigenvalues[-1]
    # Directions tied with the top one count as one eigenspace.
    tied = eigenvalues >= top * (1 - 1e-12)
    short = np.where(tied, 0, b / np.where(tied, 1, top - eigenvalues))
    hard = np.linalg.norm(b[tied]) <= 1e-12 * float(np.linalg.norm(b))
    if hard and np.linalg.norm(short) <= radius:
        short[-1] = np.sqrt(radius**2 - np.linalg.norm(short) ** 2)
        return np.asarray(vectors @ short)
    # Beyond the ball without the top: rounding there is no part to follow to infinity.
    b = np.where(tied & hard, 0, b)

    def solution(shift: float) -> Array:
        return np.asarray(np.divide(b, top - eigenvalues + shift, where=b != 0, out=np.zeros_like(b)))

    widest = np.linalg.norm(b) / radius
    narrowest = np.linalg.norm(b[tied]) / radius * (1 - 1e-12)
    shift = brentq(lambda s: np.linalg.norm(solution(s)) - radius, narrowest, widest, xtol=1e-300, rtol=1e-14)
    return np.asarray(vectors @ solution(shift))

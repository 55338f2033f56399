"""The exact worst case of a linear reconstruction: a trust-region problem, solved in float64."""

import numpy as np
from scipy.linalg import eigh

from ctrobust.theory.secular import multiplier, over
from ctrobust.theory.spectrum import Array, checked_amount


def worst_perturbation(F: Array, r: Array, radius: float) -> Array:
    """The δ that maximises ‖F δ + r‖² over ‖δ‖₂ ≤ radius.

    F: (n, m), r: (n,), returns (m,). The maximiser solves (μI − FᵀF) δ = Fᵀr with μ ≥ σ₁² and ‖δ‖ = radius
    (Moré and Sorensen, 1983): one secular equation in μ. In the hard case, where Fᵀr has no part along the
    top singular vector and μ = σ₁² leaves δ short, it is filled up along that vector.
    Raises ValueError on a radius that is negative, NaN or infinite.
    """
    if checked_amount("radius", radius) == 0:
        return np.zeros(F.shape[1])
    eigenvalues, vectors = eigh(F.T @ F)
    b, top = vectors.T @ (F.T @ r), eigenvalues[-1]
    # Directions tied with the top one count as one eigenspace, and rounding there is no part to follow to infinity.
    tied = eigenvalues >= top * (1 - 1e-12)
    if np.linalg.norm(b[tied]) <= 1e-12 * np.linalg.norm(b):
        b[tied] = 0
    distance = np.where(tied, 0, top - eigenvalues)
    shift = multiplier(distance, b[None], radius)[0]
    delta = over(b, distance + shift)
    if shift == 0:
        delta[-1] = max(radius**2 - float(delta @ delta), 0) ** 0.5
    return np.asarray(vectors @ delta)

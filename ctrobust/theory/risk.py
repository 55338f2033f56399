"""What a filter costs, exactly: the error on clean measurements, under the worst δ, and the training objective.

For E x = 0, cov x = I and B = V diag(q) Uᵀ, sums over all directions of x. A direction that A does not see counts
once it is listed: pad the singular values of a wide A (m < n) with n − m zeros, and the gains with zeros. One δ
shared by all x here; a δ for every x is in `per_sample`.
"""

import numpy as np
from numpy.typing import ArrayLike

from ctrobust.theory.spectrum import checked_amount, checked_gains, checked_spectrum


def clean_risk(singular_values: ArrayLike, gains: ArrayLike) -> float:
    """E ‖BAx − x‖² = Σ (qᵢSᵢ − 1)²"""
    S = checked_spectrum(singular_values)
    return float(np.square(checked_gains(gains, S) * S - 1).sum())


def worst_risk(singular_values: ArrayLike, gains: ArrayLike, eps: float) -> float:
    """max over ‖δ‖ ≤ ε of E ‖B(Ax + δ) − x‖² = Σ (qᵢSᵢ − 1)² + ε² max qᵢ²; ε absolute."""
    radius = checked_amount("eps", eps)
    return clean_risk(singular_values, gains) + (radius * float(np.abs(gains).max())) ** 2


def objective(singular_values: ArrayLike, gains: ArrayLike, eps: float, weight: float) -> float:
    """What training minimises: the clean risk + λ · the worst risk."""
    amount = checked_amount("weight", weight)
    return clean_risk(singular_values, gains) + amount * worst_risk(singular_values, gains, eps)

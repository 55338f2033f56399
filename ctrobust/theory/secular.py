"""The secular equation of a trust-region problem, for many samples at once: how far above the top μ lies."""

import numpy as np
from numpy.typing import ArrayLike

from ctrobust.theory.spectrum import Array

NEWTON_STEPS = 100


def multiplier(distance: Array, b: Array, radius: float, spread: float = 0) -> Array:
    """(N, 1) s ≥ 0 with Σ bᵢ²/(dᵢ + s)² + spread/(dᵢ + s) = radius²; 0 where the sum falls short even there.

    distance: (k,) ≥ 0, of each eigenvalue from the largest; b: (N, k). Newton's method on 1/√sum, which is increasing
    and concave in s and so approached from the left without a step too far (Conn, Gould, Toint, 2000, chapter 7).
    """
    least = np.maximum(np.abs(b) / radius, spread / radius**2) - distance
    s: Array = np.maximum(least.max(1, keepdims=True), 0)
    for _ in range(NEWTON_STEPS):
        reach = distance + s
        squares = np.square(over(b, reach))
        total = (squares + over(spread, reach)).sum(1, keepdims=True)
        slope = over(squares + over(spread / 2, reach), reach).sum(1, keepdims=True)
        excess = np.sqrt(total) / radius - 1
        step = excess * over(total, slope)
        s = np.maximum(s + step, 0)
        if ((np.abs(step) <= 1e-15 * s) | (np.abs(excess) <= 1e-15)).all():
            break
    return s


def over(above: ArrayLike, below: Array) -> Array:
    """above/below, and 0 where below is."""
    nothing = np.zeros(np.broadcast_shapes(np.shape(above), below.shape))
    return np.asarray(np.divide(above, below, out=nothing, where=below > 0))

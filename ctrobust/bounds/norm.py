"""The operator norm from products alone, from below and from above."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal
from scipy.optimize import brentq
from torch import Tensor

from ctrobust.bounds.krylov import Array, Krylov
from ctrobust.core.seeds import derive_seed

FAILURE = 1e-9
"""The probability, over the random start, that the norm of one sample lies above `upper`."""
CHECKED_EVERY = 10


@dataclass(frozen=True)
class OperatorNorm:
    """lower ≤ ‖J‖₂ ≤ upper, both (B,) float64: lower always, upper but for a probability of `FAILURE`.

    steps: products with JᵀJ taken. space: the Krylov space they were taken in.
    """

    lower: Tensor
    upper: Tensor
    steps: int
    space: Krylov


def operator_norm(
    gram: Callable[[Tensor], Tensor],
    like: Tensor,
    *,
    tolerance: float = 1e-3,
    steps: int = 300,
    seed: int = 0,
) -> OperatorNorm:
    """‖J‖₂ of every sample by Lanczos on JᵀJ from a random start, until upper ≤ (1 + tolerance)·lower.

    gram: v ↦ JᵀJ v on batches like `like`. Raises ValueError on steps below 1. The bound from above is Hochstenbach's
    (J. Sci. Comput. 2013; van Dorsselaer, Hochstenbach and van der Vorst, SIMAX 2000): with p₀ … p_k orthonormal
    with respect to the spectral measure of the start, whose mass at ‖J‖² is c²,

        Σⱼ pⱼ(‖J‖²)² ≤ 1/c²        P(c² < π FAILURE²/2n) < FAILURE for a start uniform on the sphere in n dimensions

    and the sum grows without end above the largest Ritz value.
    """
    if steps < 1:
        raise ValueError(f"steps {steps}: give at least 1")
    generator = torch.Generator().manual_seed(derive_seed(seed, "operator norm"))
    start = torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like)
    # Beyond n products there is nothing left to find.
    steps = min(steps, like[0].numel())
    space, mass = Krylov(gram, start, steps), math.pi * FAILURE**2 / (2 * like[0].numel())
    for k in range(1, steps + 1):
        space.extend()
        if k % CHECKED_EVERY == 0 or k == steps:
            below = np.array([_top(*_tridiagonal(space, sample)) for sample in range(len(like))])
            above = np.array(
                [_above(*_tridiagonal(space, sample), top, mass) for sample, top in enumerate(below)]
            )
            if (above <= below * (1 + tolerance) ** 2).all():
                break
    lower, upper = (torch.from_numpy(np.sqrt(values)) for values in (below, above))
    return OperatorNorm(lower, upper, k, space)


def _tridiagonal(space: Krylov, sample: int) -> tuple[Array, Array]:
    """k diagonals and the k norms that follow them, the last one outside the matrix."""
    return np.diag(space.projected[sample]), np.array([beta[sample] for beta in space.betas])


def _top(alphas: Array, betas: Array) -> float:
    return max(float(eigh_tridiagonal(alphas, betas[:-1], eigvals_only=True)[-1]), 0.0)


def _above(alphas: Array, betas: Array, top: float, mass: float) -> float:
    """The x ≥ top at which Σ pⱼ(x)² = 1/mass."""

    def excess(x: float) -> float:
        before, p, total = 0.0, 1.0, 1.0
        for alpha, left, right in zip(alphas, [0.0, *betas[:-1]], betas, strict=True):
            if right == 0:
                return math.inf  # the space is exhausted: what it has not shown is not there
            before, p = p, ((x - alpha) * p - left * before) / right
            total += p * p
            if total * mass > 1e3:
                break  # and before it overflows
        return math.log(total * mass)

    if top == 0:
        return 0.0
    low = top * (1 + len(alphas) * 1e-15)
    if excess(low) >= 0:
        return low
    high = 2 * low
    while excess(high) < 0:
        high *= 2
    # A jump to infinity has no root to find, only a place.
    return float(brentq(lambda x: min(excess(x), 1.0), low, high, rtol=1e-13)) * (1 + 1e-13)

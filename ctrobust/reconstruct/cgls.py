"""Conjugate gradients on the normal equations (Hestenes and Stiefel 1952; Björck, Numerical Methods, ch. 7.4)."""

import torch
from torch import Tensor

from ctrobust.reconstruct.solution import (
    LinearOperator,
    Solution,
    State,
    dot,
    iterate,
    norms,
    per_sample,
    settled,
)


def cgls(
    A: LinearOperator,
    y: Tensor,
    *,
    iterations: int = 50,
    tolerance: float = 1e-4,
    misfit: float = 0.0,
    start: Tensor | None = None,
    progress: bool = False,
) -> Solution:
    """After k iterations, argmin ‖A x − y‖ over start + span{AᵀA}ʲ Aᵀ(y − A start), j < k.

    Goes to the least-squares solution nearest to `start` (default 0). With noise, stopping early is what regularises.
    Not linear in y: the steps depend on it.

    y            (B, 1, views, bins)
    tolerance    a sample stops when a step moves it by no more than this share of ‖x‖; 0: never
    misfit       … or when ‖A x − y‖ ≤ misfit·‖y‖ (Morozov's rule, where the noise is known); 0: never
    Raises ValueError on settings out of these ranges.
    """
    decide = settled(tolerance, misfit, y)

    def advance(state: State) -> State:
        x, residual, direction, slope = state
        ahead = A(direction)
        length = _ratio(slope, dot(ahead, ahead))
        x = x + per_sample(length, x) * direction
        residual = residual - per_sample(length, residual) * ahead
        gradient = A.T(residual)
        steeper = dot(gradient, gradient)
        direction = gradient + per_sample(_ratio(steeper, slope), x) * direction
        return x, residual, direction, steeper

    x = torch.zeros_like(A.T(y)) if start is None else start
    residual = y - A(x)
    gradient = A.T(residual)
    first = dot(gradient, gradient)
    _, solution = iterate(
        (x, residual, gradient, first),
        advance,
        lambda state: norms(state[1]),
        # A gradient at the level of rounding means the same as none: to go on would be noise.
        lambda before, after: decide(before, after, norms(after[1])) | _flat(after[3], first),
        iterations=iterations,
        label="CGLS",
        progress=progress,
    )
    return solution


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    """0 where the denominator is 0: there is nowhere to go."""
    return torch.where(below > 0, above, 0) / torch.where(below > 0, below, 1)


def _flat(slope: Tensor, first: Tensor) -> Tensor:
    return slope <= first * (4 * torch.finfo(slope.dtype).eps) ** 2

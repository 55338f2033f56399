"""What the iterative methods share: the operator they take, the loop they run in, and what they return."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ctrobust.core.progress import Progress

State = tuple[Tensor, ...]


class LinearOperator(Protocol):
    """A map of each sample by itself, and its exact transpose: a `Projector`, a `DenseOperator`, one of your own."""

    def __call__(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → measurements"""

    def T(self, y: Tensor) -> Tensor:
        """measurements → (B, C, H, W)"""


@dataclass(frozen=True)
class Solution:
    """x, and how it was reached.

    x           (B, C, H, W)
    residuals   (B, iterations done) ‖A x − y‖ after each; of a sample that has stopped, its last
    iterations  (B,) after how many each sample stopped
    converged   (B,) whether it stopped by its rule, rather than at the last iteration
    """

    x: Tensor
    residuals: Tensor
    iterations: Tensor
    converged: Tensor


def iterate(
    start: State,
    advance: Callable[[State], State],
    residual_of: Callable[[State], Tensor],
    done: Callable[[State, State], Tensor],
    *,
    iterations: int,
    label: str,
    progress: bool,
) -> tuple[State, Solution]:
    """Advance a state whose first tensor is x until every sample is done, (B,) bool, or `iterations` have passed.

    Each tensor of the state has the batch first. A sample that is done is held, so that what it gives does not depend
    on the batch it is in. Nothing is written in place: gradients go through the steps, not through the decisions.
    """
    if iterations < 1:
        raise ValueError(f"iterations {iterations}: give at least 1")
    state = start
    active = torch.ones(len(start[0]), dtype=torch.bool, device=start[0].device)
    counts = torch.zeros(len(active), dtype=torch.long, device=active.device)
    residuals = []
    for _ in Progress(range(iterations), label, total=iterations, enabled=progress):
        # Held samples are replaced before the step as well as after: a direction of length 0 must not become NaN.
        after = tuple(_choose(active, new, old) for new, old in zip(advance(state), state, strict=True))
        counts = counts + active
        residuals.append(residual_of(after).detach())
        active = active & ~done(state, after).detach()
        state = after
        if not active.any():
            break
    return state, Solution(state[0], torch.stack(residuals, 1), counts, ~active)


def norms(batch: Tensor) -> Tensor:
    """(B,) Euclidean norms, with gradient 0 where they are 0."""
    squares = batch.square().flatten(1).sum(1)
    return torch.where(squares > 0, squares, 1).sqrt() * (squares > 0)


def dot(one: Tensor, other: Tensor) -> Tensor:
    """(B,) inner products."""
    return (one * other).flatten(1).sum(1)


def per_sample(numbers: Tensor, batch: Tensor) -> Tensor:
    """(B,) shaped to multiply (B, …)."""
    return numbers.reshape(-1, *(1,) * (batch.ndim - 1))


def settled(tolerance: float, misfit: float, y: Tensor) -> Callable[[State, State, Tensor], Tensor]:
    """(B,) whether a sample moved by at most tolerance·‖x‖ in its last step, or misses y by at most misfit·‖y‖."""
    for name, value in (("tolerance", tolerance), ("misfit", misfit)):
        if not value >= 0:
            raise ValueError(f"{name} {value!r}: give 0, for never, or a small positive share")
    target = misfit * norms(y)

    @torch.no_grad()
    def decide(before: State, after: State, residual: Tensor) -> Tensor:
        moved = norms(after[0] - before[0])
        return (moved <= tolerance * norms(after[0])) & (tolerance > 0) | (residual <= target) & (misfit > 0)

    return decide


def _choose(active: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(per_sample(active, new), new, old)

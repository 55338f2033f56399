"""One perturbation for a whole set of samples (Moosavi-Dezfooli et al., CVPR 2017)."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ctrobust.threat.ascent import (
    ProjectedGradientAscent,
    Reconstructor,
    evaluating,
    exact_arithmetic,
    require_exact_gradient,
)
from ctrobust.threat.budget import norms, per_sample

BATCH_SIZE = 8


@dataclass(frozen=True)
class Universal:
    """δᵢ = rᵢ u for every i, with one direction u: argmax Σᵢ ‖f(yᵢ + rᵢ u) − xᵢ‖².

    rᵢ makes δᵢ as large as the budget allows for that very sample: for a relative budget the samples share a direction,
    for an absolute one δ itself. The set is the batch; `direction` finds u on one set, for `apply` on another.
    The ascent over u is `attack`'s, in its budget for the mean of the set. A set of more than 8 goes through f in parts
    and twice a step, so that memory does not grow with it.
    """

    attack: ProjectedGradientAscent

    def __call__(self, f: Reconstructor, y: Tensor, x: Tensor, start: Tensor | None = None) -> Tensor:
        return self.apply(self.direction(f, y, x, None if start is None else start.mean(0, keepdim=True)), y)

    def with_eps(self, eps: float) -> "Universal":
        """The same in a budget of another size."""
        return replace(self, attack=self.attack.with_eps(eps))

    def apply(self, direction: Tensor, y: Tensor) -> Tensor:
        """(1, 1, views, bins) → (B, 1, views, bins), for samples that need not be those it was found on."""
        return self.attack.budget.rescale(direction.expand_as(y), y)

    def direction(self, f: Reconstructor, y: Tensor, x: Tensor, start: Tensor | None = None) -> Tensor:
        """u, (1, 1, views, bins); zero where none raises the sum."""
        centre = y.mean(0, keepdim=True)

        def reconstruct(some: Tensor, u: Tensor) -> Tensor:
            # rᵢ is held in the gradient: what it would add is along u, and lost to the projection.
            lengths = norms(self.apply(u.detach(), some)) / norms(u.detach()).clamp_min(1e-30)
            return f(some + per_sample(lengths).to(u) * u)

        def together(moved: Tensor) -> Tensor:
            u = moved - centre
            if len(y) <= BATCH_SIZE:
                return reconstruct(y, u).unsqueeze(0)
            parts = [
                checkpoint(reconstruct, some, u, use_reentrant=False) for some in torch.split(y, BATCH_SIZE)
            ]
            return torch.cat(parts).unsqueeze(0)

        with evaluating(f), exact_arithmetic():
            if not self.attack.allow_unmatched and self.attack.budget.eps:
                require_exact_gradient(f, y, x)
            return replace(self.attack, allow_unmatched=True)(together, centre, x.unsqueeze(0), start)

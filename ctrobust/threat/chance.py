"""Chance: what any adversary has to beat."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ctrobust.core.seeds import derive_seed
from ctrobust.threat.adversary import worst_of
from ctrobust.threat.ascent import Reconstructor
from ctrobust.threat.budget import Budget, drawn, per_sample


@dataclass(frozen=True)
class Chance:
    """The worst of `draws` random perturbations, on the budget's sphere or (`inside`) anywhere in it.

    Inside, the size is uniform between 0 and the largest. A draw uniform in volume would be the sphere once more: of a
    ball in n dimensions all but a share e⁻¹ lies within 1/n of its surface.
    """

    budget: Budget
    draws: int = 8
    inside: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise ValueError(f"draws {self.draws}: give at least 1")

    def __call__(self, f: Reconstructor, y: Tensor, x: Tensor, start: Tensor | None = None) -> Tensor:
        return worst_of([self._draw(y, draw) for draw in range(self.draws)], f, y, x).delta

    def with_eps(self, eps: float) -> "Chance":
        """The same draws in a budget of another size."""
        return replace(self, budget=self.budget.with_eps(eps))

    def _draw(self, y: Tensor, draw: int) -> Tensor:
        delta = self.budget.random(y, derive_seed(self.seed, "chance", draw))
        if not self.inside:
            return delta
        lengths = drawn(y, derive_seed(self.seed, "length", draw), torch.rand).flatten(1)[:, 0]
        return self.budget.project(delta * per_sample(lengths).to(y), y)

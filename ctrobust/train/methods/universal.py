"""Universal perturbations: one direction that many samples share. Tractable, and not the worst case of any."""

from typing import Any

import torch
from torch import Tensor, nn

from ctrobust.core.seeds import derive_seed
from ctrobust.reconstruct import LearnedReconstructor
from ctrobust.threat.budget import per_sample
from ctrobust.train.methods.method import Adversarial, Figures, held


class Universal(Adversarial):
    """δᵢ = rᵢ u with rᵢ the radius of sample i and one unit vector u a group of samples.

    Before f descends, u climbs by `threat.steps_per_update` steps: u ← (u + α g/‖g‖)/‖·‖ with g the sum of the
    group's gradients, over all processes. Groups: sample i belongs to group i mod `threat.groups`.
    """

    def prepare(self, f: LearnedReconstructor) -> None:
        shape = self.recipe.threat.groups, self.recipe.data.channels, *f.projector.sinogram_shape
        generator = torch.Generator().manual_seed(derive_seed(self.recipe.seed, "universal"))
        self._shared = _unit(torch.randn(shape, generator=generator)).to(self.fabric.device)

    def perturb(self, f: nn.Module, y: Tensor, x: Tensor, samples: Tensor) -> tuple[Tensor, Figures]:
        with held(f):
            for _ in range(self.recipe.threat.steps_per_update):
                self._climb(f, y, x, samples)
        return self.propose(f, y, x, samples), {}

    def propose(self, f: nn.Module, y: Tensor, x: Tensor, samples: Tensor) -> Tensor:
        return self.budget.rescale(self._shared[self._groups(samples)], y)

    def _climb(self, f: nn.Module, y: Tensor, x: Tensor, samples: Tensor) -> None:
        delta = self.propose(f, y, x, samples)
        rise = torch.zeros_like(self._shared)
        rise.index_add_(
            0, self._groups(samples), self.gradient(f, y, x, delta) * per_sample(self.budget.radius(y)).to(y)
        )
        rise = torch.as_tensor(self.fabric.all_reduce(rise, reduce_op="sum"))
        self._shared = _unit(self._shared + self.recipe.threat.universal_step * _unit(rise))

    def _groups(self, samples: Tensor) -> Tensor:
        return samples.to(self._shared.device) % len(self._shared)

    def state_dict(self) -> dict[str, Any]:
        return {"shared": self._shared}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._shared = state["shared"].to(self._shared)


def _unit(directions: Tensor) -> Tensor:
    """Each on the unit sphere; a group that no sample of the batch belongs to stays zero, and so where it was."""
    return directions / per_sample(directions.flatten(1).norm(dim=1).clamp_min(1e-30))

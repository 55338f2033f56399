"""What a training method adds to the loop, and plain training itself."""

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from ctrobust.recipes.schema import Recipe
from ctrobust.reconstruct import LearnedReconstructor
from ctrobust.threat.ascent import error_and_gradient, evaluating
from ctrobust.threat.budget import L2Ball

Figures = dict[str, float]


class Method:
    """What a step asks of a method: begin, perturb (before f descends), constrain (after it has).

    Each does nothing unless a method says otherwise. figures: the columns that a method adds to history.csv.
    """

    figures: ClassVar[tuple[str, ...]] = ()

    def __init__(self, recipe: Recipe, fabric: Fabric) -> None:
        self.recipe, self.fabric, self.step = recipe, fabric, 0

    def prepare(self, f: LearnedReconstructor) -> None:
        """Called once, on f's starting weights, before there is an optimiser."""

    def begin(self, step: int, steps: int) -> None:
        """Called before step `step` of `steps`, counted from 0: for schedules and seeds."""
        self.step = step

    def perturb(self, f: nn.Module, y: Tensor, x: Tensor, samples: Tensor) -> tuple[Tensor | None, Figures]:
        """The perturbations (B, 1, views, bins) that f meets at this step, or None.

        y: (B, 1, views, bins); x: (B, 1, H, W); samples: (B,) positions in the training part. All of a batch, so
        that a method learns from it once; its passes through f are made in `parts`.
        """
        proposed = [self.propose(f, *part) for part in self.parts(y, x, samples)]
        deltas = [delta for delta in proposed if delta is not None]
        return torch.cat(deltas) if deltas else None, {}

    def propose(self, f: nn.Module, y: Tensor, x: Tensor, samples: Tensor) -> Tensor | None:
        """The same without learning from it: what the method as it stands finds for any y."""
        return None

    def constrain(self, f: LearnedReconstructor, lr: float) -> Figures:
        """Called after f's step, which had the learning rate `lr`."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What resuming needs: tensors and plain values."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...

    def parts(self, *whole: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """What belongs to a batch, in the `train.accumulate` parts that pass through f one after the other."""
        return zip(*(each.chunk(self.recipe.train.accumulate) for each in whole), strict=True)

    def mixed(self, network: nn.Module, *inputs: Tensor | None) -> Tensor:
        """network(*inputs) in the run's precision."""
        # One block a call: autocast keeps its copies of the weights to the end of a block, past an update.
        with self.fabric.autocast():
            result: Tensor = network(*inputs)
        return result


class Adversarial(Method):
    """A method whose f meets perturbations in a ball that may grow to its full radius."""

    @abstractmethod
    def propose(self, f: nn.Module, y: Tensor, x: Tensor, samples: Tensor) -> Tensor: ...

    def begin(self, step: int, steps: int) -> None:
        super().begin(step, steps)
        threat = self.recipe.threat
        share = min(1.0, (step + 1) / (threat.ramp * steps)) if threat.ramp else 1.0
        self.budget = L2Ball(threat.eps * share, threat.relative)

    def gradient(self, f: nn.Module, y: Tensor, x: Tensor, delta: Tensor) -> Tensor:
        """(B, 1, views, bins) of ‖f(yᵢ + δᵢ) − xᵢ‖² with respect to δᵢ, in the run's precision."""
        found = [
            error_and_gradient(lambda measured: self.mixed(f, measured), *part)[1]
            for part in self.parts(y, x, delta)
        ]
        return torch.cat(found)


@contextmanager
def held(f: nn.Module) -> Iterator[None]:
    """f in eval mode with its weights held: neither its statistics nor its gradients move meanwhile."""
    learned = [weight for weight in f.parameters() if weight.requires_grad]
    for weight in learned:
        weight.requires_grad = False
    try:
        with evaluating(f):
            yield
    finally:
        for weight in learned:
            weight.requires_grad = True

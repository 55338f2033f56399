"""Jitter: noise of the adversary's energy. Whatever is adversarial has to beat it."""

from torch import Tensor, nn

from ctrobust.core.seeds import derive_seed
from ctrobust.train.methods.method import Adversarial


class Jitter(Adversarial):
    """δ = ε ‖y‖ g/‖g‖ with Gaussian g, drawn anew each time a slice is met."""

    def propose(self, f: nn.Module, y: Tensor, x: Tensor, samples: Tensor) -> Tensor:
        return self.budget.random(y, derive_seed(self.recipe.seed, "jitter", self.step))

"""Projected gradient ascent inside the loop (Madry et al., ICLR 2018): the ideal adversary, at its price."""

from torch import Tensor, nn

from ctrobust.core.seeds import derive_seed
from ctrobust.threat.ascent import ProjectedGradientAscent
from ctrobust.train.methods.method import Adversarial, held


class PGD(Adversarial):
    """δ: the worst of `threat.ascent_steps` steps of ascent on each sample, from a random start, f in eval mode."""

    def propose(self, f: nn.Module, y: Tensor, x: Tensor, samples: Tensor) -> Tensor:
        ascent = ProjectedGradientAscent(
            self.budget,
            steps=self.recipe.threat.ascent_steps,
            restarts=1,
            seed=derive_seed(self.recipe.seed, "pgd", self.step),
            allow_unmatched=True,
        )
        with held(f):
            return ascent(lambda measured: self.mixed(f, measured), y, x)

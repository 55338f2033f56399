"""Weight decay: small weights as a hope for a small Lipschitz constant."""

import torch
from torch import Tensor

from ctrobust.reconstruct import LearnedReconstructor
from ctrobust.train.methods.method import Figures, Method


class WeightDecay(Method):
    """θ ← (1 − lr·decay) θ after each step, on the kernels alone (AdamW's; Loshchilov and Hutter, ICLR 2019)."""

    @torch.no_grad()
    def constrain(self, f: LearnedReconstructor, lr: float) -> Figures:
        kernels: list[Tensor] = [weight for weight in f.parameters() if weight.ndim > 1]
        torch._foreach_mul_(kernels, 1 - lr * self.recipe.regularize.weight_decay)
        return {}

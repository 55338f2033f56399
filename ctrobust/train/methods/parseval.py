"""Parseval networks (Cissé et al., ICML 2017): every layer held near an isometry."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from ctrobust.reconstruct import LearnedReconstructor
from ctrobust.train.methods.method import Figures, Method


class Parseval(Method):
    """V ← (1 + β) V − β V VᵀV after each step, V a kernel unfolded to (out, in·k²) times √k².

    Then all singular values of V are near 1, which bounds the convolution's norm by 1. β is large enough
    (½: Newton's step to the nearest isometry) that max|σ − 1| ≤ 0.05 holds while Adam pulls; it is logged. Kernels
    start orthogonal, and norms keep a gain of 1, or they would undo what is held here. The last convolution, 1×1,
    sets the scale of the correction: its norm may be anything up to 1. Norms still divide by their statistics, so the
    Lipschitz constant of f is bounded only through them.
    """

    figures: ClassVar[tuple[str, ...]] = ("off_isometry",)

    def prepare(self, f: LearnedReconstructor) -> None:
        for module in f.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm | nn.GroupNorm):
                module.weight.requires_grad = False
        for weight in _kernels(f):
            # In a tensor of its own: torch's initialiser wants rows in memory, kernels have channels innermost.
            weight.data.copy_(nn.init.orthogonal_(torch.empty(weight.shape)) / _root_area(weight))

    @torch.no_grad()
    def constrain(self, f: LearnedReconstructor, lr: float) -> Figures:
        settings, beta = self.recipe.train, self.recipe.regularize.parseval_beta
        step = self.step + 1
        watched = 0 in (step % settings.log_every, step % settings.checkpoint_every, step % settings.steps)
        off = 0.0
        for weight in _kernels(f):
            unfolded = weight.flatten(1) * _root_area(weight)
            retracted = (1 + beta) * unfolded - beta * (unfolded @ unfolded.T) @ unfolded
            weight.copy_((retracted / _root_area(weight)).reshape(weight.shape))
            if watched:
                off = max(off, float((torch.linalg.svdvals(retracted) - 1).abs().max()))
        last = _convolutions(f)[-1].weight
        last /= torch.linalg.matrix_norm(last.flatten(1), 2).clamp_min(1)
        return {"off_isometry": off} if watched else {}


def _convolutions(f: nn.Module) -> list[nn.Conv2d | nn.ConvTranspose2d]:
    return [module for module in f.modules() if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)]


def _kernels(f: nn.Module) -> list[Tensor]:
    return [convolution.weight for convolution in _convolutions(f)[:-1]]


def _root_area(kernel: Tensor) -> float:
    return float(kernel[0, 0].numel() ** 0.5)

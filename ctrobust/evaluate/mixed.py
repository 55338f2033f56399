"""The ascent in bfloat16, where a processor multiplies faster in it; what it finds is always measured in float32."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ctrobust.threat import ProjectedGradientAscent
from ctrobust.threat.ascent import Reconstructor, evaluating, require_exact_gradient


@dataclass(frozen=True)
class MixedAscent(ProjectedGradientAscent):
    """`ProjectedGradientAscent` with f's network in bfloat16: a search, whose δ is no less held to its budget.

    Line integrals and back-projections keep float32. The gradient is checked in float32, too: finite differences drown
    in bfloat16.
    """

    def __call__(self, f: Reconstructor, y: Tensor, x: Tensor, start: Tensor | None = None) -> Tensor:
        def mixed(y: Tensor) -> Tensor:
            with torch.autocast(y.device.type, torch.bfloat16):
                return f(y).float()

        if self.budget.eps and not self.allow_unmatched:
            require_exact_gradient(f, y, x)
        with evaluating(f):
            return ProjectedGradientAscent.__call__(replace(self, allow_unmatched=True), mixed, y, x, start)

    def in_float32(self) -> ProjectedGradientAscent:
        """The same without bfloat16, to compare with."""
        return ProjectedGradientAscent(
            self.budget, self.steps, self.restarts, self.step, self.seed, self.allow_unmatched, self.rule
        )

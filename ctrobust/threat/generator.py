"""The trained G of a run as an adversary: one pass, nothing searched."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ctrobust.core.errors import UserError
from ctrobust.core.seeds import derive_seed
from ctrobust.threat.adversary import Adversary, WorstOf
from ctrobust.threat.ascent import Reconstructor, error_and_gradient, evaluating, exact_arithmetic
from ctrobust.threat.budget import Budget

FIRST_LOOK = 0.1

Sees = Literal["sinogram", "gradient", "last"]


@dataclass(frozen=True)
class Generator:
    """δ = G(y), carried to the full length that the budget allows.

    sees    sinogram: G(y). gradient: G is also shown ĝ, the direction of ascent at a tenth of a random perturbation,
            and corrects it, δ = ĝ + G(y, ĝ), `applications` times, each at the δ of the one before.
            last: what it is shown and corrects is `first`, where there is one.
    first   (N, 1, views, bins): where the first ĝ is taken instead, scaled to the ball, the i-th sample at i mod N
    G trains f and is no measure of it: its error is a lower bound, and usually a loose one.
    """

    budget: Budget
    G: nn.Module
    sees: Sees = "sinogram"
    applications: int = 1
    seed: int = 0
    first: Tensor | None = None

    @torch.no_grad()
    def __call__(self, f: Reconstructor, y: Tensor, x: Tensor, start: Tensor | None = None) -> Tensor:
        with evaluating(f), evaluating(self.G), exact_arithmetic():
            if self.sees == "sinogram":
                return self.budget.rescale(self.G(y), y)
            delta = self._first_look(y)
            if self.sees == "last" and self.first is not None:
                return self.budget.rescale(delta + self.G(y, delta), y)
            seen = torch.zeros_like(y)
            for application in range(self.applications):
                climb = self.budget.rescale(error_and_gradient(f, y, x, delta)[1], y)
                seen = self.budget.rescale(delta + climb, y) if application else climb
                delta = self.budget.rescale(seen + self.G(y, seen), y)
            return delta

    def _first_look(self, y: Tensor) -> Tensor:
        if self.first is None:
            return FIRST_LOOK * self.budget.random(y, derive_seed(self.seed, "hint"))
        places = torch.arange(len(y), device=y.device) % len(self.first)
        return self.budget.rescale(self.first.to(y)[places], y)

    def with_eps(self, eps: float) -> "Generator":
        """The same G in a budget of another size."""
        return replace(self, budget=self.budget.with_eps(eps))


def trained(
    G: nn.Module, state: Mapping[str, Any], budget: Budget, *, sees: Sees = "sinogram", applications: int = 1
) -> Adversary:
    """G with the weights of a run: `state` is the "adversary" of its checkpoint, G built as its recipe says.

    Of a G a group, the worst of them for each sample. Raises UserError on a state without G, or of another G.
    """
    if "perturber" not in state:
        raise UserError("adversary: the run was trained without a G; give a run of minmax")
    try:
        G.load_state_dict(state["perturber"])
    except RuntimeError:
        raise UserError(
            "adversary: the checkpoint's G has other layers than the recipe's; was it edited?"
        ) from None
    parts, first = getattr(G, "parts", None), state.get("last")
    if parts is None:
        return Generator(budget, G, sees, applications, first=first)
    return WorstOf(
        {f"G {i}": Generator(budget, part, sees, applications, first=first) for i, part in enumerate(parts)}
    )

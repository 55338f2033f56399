"""The min–max of Raj, Bresler and Li (ICML 2020): G proposes, for each measurement, the worst small error.

    min_θ max_φ  E ‖f_θ(y) − x‖² + λ₁ ‖f_θ(y + G_φ(y)) − x‖² − λ₂ max{0, ‖G_φ(y)‖²/‖y‖² − ε²}

This file is the max over φ; the min over θ is `loop.descend`, the same for every method.
"""

from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from ctrobust.threat.ascent import error_and_gradient
from ctrobust.threat.budget import L2Ball
from ctrobust.train.adversary import Figures, held
from ctrobust.train.objectives import hinges, squared_errors
from ctrobust.train.schedule import set_learning_rate

LAMBDA_2_GROWTH = 1.1
SHARE_OUTSIDE_ALLOWED = 0.05


class MinMax:
    """G and its ascent.

    ball "project": δ = G(y) rescaled onto the sphere of radius ε‖y‖; nothing to tune (ours).
    ball "hinge": δ = G(y) as it is, kept in the ball by the hinge (the paper's); λ₂ grows by a tenth whenever
    more than 5 % of the batch lie outside, since G leaves wherever λ₂ is smaller than what that gains.

    sees "sinogram": G(y) (the paper's). sees "gradient": G is also shown ĝ, the ascent direction of the loss at a
    small random perturbation, and corrects it: δ = ĝ + G(y, ĝ) (ours).
    """

    def __init__(
        self,
        perturber: nn.Module,
        fabric: Fabric,
        *,
        eps: float,
        ball: str,
        sees: str,
        weight: float,
        lambda_2: float,
        steps_per_update: int,
        lr: float,
        generator: torch.Generator,
    ) -> None:
        self._budget, self._project, self._shown = L2Ball(eps), ball == "project", sees == "gradient"
        self._weight, self._lambda_2, self._steps = weight, lambda_2, steps_per_update
        self._fabric, self._lr, self._generator = fabric, lr, generator
        self._raw = perturber
        self._G, self._optimizer = fabric.setup(perturber, torch.optim.Adam(perturber.parameters(), lr=lr))

    def __call__(self, f: nn.Module, y: Tensor, x: Tensor) -> tuple[Tensor, Figures]:
        with held(f), self._fabric.autocast():
            hint = self._gradient_hint(f, y, x) if self._shown else None
            for _ in range(self._steps):
                outside = self._ascend(f, y, x, hint)
            with torch.no_grad():
                delta = self._perturbation(self._raw, y, hint)
        return delta, {
            "delta_rel": float(self._budget.size(delta, y).mean()),
            "outside": outside,
            "lambda_2": self._lambda_2,
        }

    def _ascend(self, f: nn.Module, y: Tensor, x: Tensor, hint: Tensor | None) -> float:
        """One step of G up the objective; returns the share of samples outside the ball."""
        delta = self._perturbation(self._G, y, hint)
        hinge = hinges(delta, y, self._budget.eps)
        gain = self._weight * squared_errors(f(y + delta), x) - self._lambda_2 * hinge
        self._optimizer.zero_grad()
        self._fabric.backward(-gain.mean())
        self._optimizer.step()
        outside = float((hinge > 0).double().mean())
        if not self._project and outside > SHARE_OUTSIDE_ALLOWED:
            self._lambda_2 *= LAMBDA_2_GROWTH
        return outside

    def _perturbation(self, G: nn.Module, y: Tensor, hint: Tensor | None) -> Tensor:
        proposal = G(y) if hint is None else hint + G(y, hint)
        return self._budget.rescale(proposal, y) if self._project else proposal

    def _gradient_hint(self, f: nn.Module, y: Tensor, x: Tensor) -> Tensor:
        """ĝ on the sphere: the loss gradient where a small random perturbation has switched the null directions on."""
        start = 0.1 * self._budget.random(y, self._generator)
        return self._budget.rescale(error_and_gradient(f, y, x, start)[1], y)

    def set_progress(self, done: float) -> None:
        set_learning_rate(self._optimizer, self._lr, done)

    def state_dict(self) -> dict[str, Any]:
        return {
            "perturber": self._raw.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "lambda_2": self._lambda_2,
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._raw.load_state_dict(state["perturber"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._lambda_2 = state["lambda_2"]
        self._generator.set_state(state["generator"])

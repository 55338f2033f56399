"""The min–max of Raj, Bresler and Li (ICML 2020): G proposes, for each measurement, the worst small error.

    min_θ max_φ  E ‖f_θ(y) − x‖² + λ₁ ‖f_θ(y + G_φ(y)) − x‖² − λ₂ max{0, ‖G_φ(y)‖²/‖y‖² − ε²}

This file is the max over φ; the min over θ is `loop.descend`, the same for every method.
"""

from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from ctrobust.core.seeds import derive_seed
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
        seed: int,
    ) -> None:
        self._budget, self._project, self._shown = L2Ball(eps), ball == "project", sees == "gradient"
        self._weight, self._lambda_2, self._steps = weight, lambda_2, steps_per_update
        self._fabric, self._lr, self._seed, self._step = fabric, lr, seed, 0
        self._raw = perturber
        self._G, self._optimizer = fabric.setup(perturber, torch.optim.Adam(perturber.parameters(), lr=lr))

    def __call__(self, f: nn.Module, y: Tensor, x: Tensor) -> tuple[Tensor, Figures]:
        with held(f):
            hint = self._gradient_hint(f, y, x) if self._shown else None
            figures = [self._ascend(f, y, x, hint) for _ in range(self._steps)][-1]
            with torch.no_grad():
                delta = self._perturbation(self._raw, y, hint)
        return delta, figures | {"delta_rel": float(self._budget.size(delta, y).mean())}

    def _ascend(self, f: nn.Module, y: Tensor, x: Tensor, hint: Tensor | None) -> Figures:
        """One step of G up the objective."""
        delta = self._perturbation(self._G, y, hint)
        gain = self._weight * squared_errors(self._mixed(f, y + delta), x)
        figures: Figures = {}
        if not self._project:
            hinge = hinges(delta, y, self._budget.eps)
            gain = gain - self._lambda_2 * hinge
            figures = self._watch_ball((hinge > 0).double().mean())
        self._optimizer.zero_grad()
        self._fabric.backward(-gain.mean())
        self._optimizer.step()
        return figures

    def _watch_ball(self, outside: Tensor) -> Figures:
        """λ₂ grows by the share outside over all processes, so that they keep one objective."""
        share = torch.as_tensor(self._fabric.all_reduce(outside, reduce_op="mean")).item()
        if share > SHARE_OUTSIDE_ALLOWED:
            self._lambda_2 *= LAMBDA_2_GROWTH
        return {"outside": share, "lambda_2": self._lambda_2}

    def _perturbation(self, G: nn.Module, y: Tensor, hint: Tensor | None) -> Tensor:
        proposal = self._mixed(G, y) if hint is None else hint + self._mixed(G, y, hint)
        return self._budget.rescale(proposal, y) if self._project else proposal

    def _mixed(self, network: nn.Module, *inputs: Tensor) -> Tensor:
        # One block a call: autocast keeps its copies of the weights to the end of a block, past G's own update.
        with self._fabric.autocast():
            result: Tensor = network(*inputs)
        return result

    def _gradient_hint(self, f: nn.Module, y: Tensor, x: Tensor) -> Tensor:
        """ĝ on the sphere: the loss gradient where a small random perturbation has switched the null directions on."""
        start = 0.1 * self._budget.random(y, derive_seed(self._seed, "hint", self._step))
        gradient = error_and_gradient(lambda y: self._mixed(f, y), y, x, start)[1]
        return self._budget.rescale(gradient, y)

    def begin(self, step: int, steps: int) -> None:
        self._step = step
        set_learning_rate(self._optimizer, self._lr, step / steps)

    def state_dict(self) -> dict[str, Any]:
        return {
            "perturber": self._raw.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "lambda_2": self._lambda_2,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._raw.load_state_dict(state["perturber"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._lambda_2 = state["lambda_2"]

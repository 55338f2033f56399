"""The min–max of Raj, Bresler and Li (ICML 2020): G proposes, for each measurement, the worst small error.

    min_θ max_φ  E ‖f_θ(y) − x‖² + λ₁ ‖f_θ(y + G_φ(y)) − x‖² − λ₂ max{0, ‖G_φ(y)‖²/‖y‖² − ε²}

This file is the max over φ; the min over θ is `loop.descend`, the same for every method.
"""

from typing import Any, ClassVar, NamedTuple

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from ctrobust.core.seeds import derive_seed
from ctrobust.recipes.schema import Recipe
from ctrobust.reconstruct import LearnedReconstructor
from ctrobust.reconstruct.load import build_perturber
from ctrobust.threat.generator import FIRST_LOOK
from ctrobust.train.methods.method import Adversarial, Figures, held
from ctrobust.train.objectives import hinges
from ctrobust.train.schedule import half_cosine, set_learning_rate

LAMBDA_2_GROWTH = 1.1
SHARE_OUTSIDE_ALLOWED = 0.05
FURTHER = 3.0


class _Turn(NamedTuple):
    """A δ of G's, what f met in its place, and of whom: what G needs once f's descent has left its gradient there."""

    delta: Tensor
    met: Tensor
    y: Tensor
    samples: Tensor


class MinMax(Adversarial):
    """G and its ascent, by `threat`:

    ball     project: δ = G(y) rescaled onto the sphere of radius ε‖y‖; nothing to tune (ours).
             hinge: δ = G(y) as it is, kept in the ball by the hinge (the paper's); λ₂ grows by a tenth whenever more
             than 5 % of the batch lie outside, since G leaves wherever λ₂ is smaller than what that gains.
    sees     sinogram: G(y) (the paper's).
             gradient: G is also shown ĝ, the ascent direction of the loss at a small random perturbation, and
             corrects it: δ = ĝ + G(y, ĝ) (ours). applications: how often, each at the δ of the one before.
             last: G is shown δ̄, a δ of the step before, of another sample and a step of ascent further, and corrects
             it: δ = δ̄ + G(y, δ̄) (ours). A pass through f less than by the gradient.
    first_look  last: ĝ is taken not there but at that δ̄ (ours). What spoils one slice is near what spoils the next;
             and f learns a place that stays the same.
    turns    alternate: G ascends `steps_per_update` times on f as it is, then f descends, at the last δ that G
             was judged by: to ask G once more, after its step, would cost a pass.
             together: G ascends on the gradient of f's own descent, which saves a pass through f.
    further  f meets δ a step of ascent further, δ + 3ρ g/‖g‖ on the sphere, g the gradient at δ by which G has just
             climbed: a pass of ascent that costs nothing (ours).
    fresh    G starts anew for every step of f.
    groups   one G a group: sample i belongs to group i mod groups.
    """

    figures: ClassVar[tuple[str, ...]] = ("outside", "lambda_2")

    def __init__(self, recipe: Recipe, fabric: Fabric) -> None:
        super().__init__(recipe, fabric)
        self._threat, self._lambda_2 = recipe.threat, recipe.threat.lambda_2
        self._raw = build_perturber(recipe)
        self._G, self._optimizer = fabric.setup(self._raw, _optimizer(self._raw, recipe))
        self._last: Tensor | None = None
        self._newborn = {name: value.clone() for name, value in self._raw.state_dict().items()}

    def begin(self, step: int, steps: int) -> None:
        super().begin(step, steps)
        set_learning_rate(self._optimizer, half_cosine(self._threat.lr, step / steps))

    def perturb(self, f: nn.Module, y: Tensor, x: Tensor, samples: Tensor) -> tuple[Tensor, Figures]:
        if self._threat.fresh:
            self._raw.load_state_dict(self._newborn)
            self._optimizer.optimizer.state.clear()
        with held(f):
            seen = self._look(f, y, x, samples)
            if self._threat.turns == "together":
                delta = self._perturbation(self._G, y, seen, samples)
                self._turn = _Turn(delta, delta.detach().requires_grad_(), y, samples)
                return self._turn.met, {}
            for _ in range(self._threat.steps_per_update):
                delta = self._perturbation(self._G, y, seen, samples)
                gradient = self._threat.weight / len(y) * self.gradient(f, y, x, delta)
                figures = self._ascend(delta, gradient, y)
        beyond = self._further(delta, gradient, y)
        if self._remembers:
            self._remember(beyond, samples)
        return beyond if self._threat.further else delta.detach(), figures

    def propose(self, f: nn.Module, y: Tensor, x: Tensor, samples: Tensor) -> Tensor:
        with held(f), torch.no_grad():
            return self._perturbation(self._raw, y, self._look(f, y, x, samples), samples)

    def constrain(self, f: LearnedReconstructor, lr: float) -> Figures:
        if self._threat.turns == "together":
            delta, met, y, samples = self._turn
            if met.grad is not None:
                self._ascend(delta, met.grad, y)
                if self._remembers:
                    self._remember(self._further(delta, met.grad, y), samples)
        return {}

    def _ascend(self, delta: Tensor, gradient: Tensor, y: Tensor) -> Figures:
        """One step of G up the objective, whose `gradient` with respect to δ is f's part of it."""
        gain, figures = (gradient * delta).sum(), Figures()
        if self._threat.ball == "hinge":
            hinge = hinges(delta, y, self.budget)
            gain = gain - self._lambda_2 * hinge.mean()
            figures = self._watch_ball((hinge > 0).double().mean())
        self.fabric.backward(-gain)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return figures

    def _further(self, delta: Tensor, gradient: Tensor, y: Tensor) -> Tensor:
        """A step along the gradient; where f's loss had no part of δ (λ₁ = 0) there is none."""
        return self.budget.rescale(delta.detach() + FURTHER * self.budget.rescale(gradient, y), y)

    @property
    def _remembers(self) -> bool:
        return "last" in (self._threat.sees, self._threat.first_look)

    def _watch_ball(self, outside: Tensor) -> Figures:
        """λ₂ grows by the share outside over all processes, so that they keep one objective."""
        share = torch.as_tensor(self.fabric.all_reduce(outside, reduce_op="mean")).item()
        if share > SHARE_OUTSIDE_ALLOWED:
            self._lambda_2 *= LAMBDA_2_GROWTH
        return {"outside": share, "lambda_2": self._lambda_2}

    def _perturbation(self, G: nn.Module, y: Tensor, seen: Tensor | None, samples: Tensor) -> Tensor:
        groups = (samples.to(y.device) % self._threat.groups,) if self._threat.groups > 1 else ()
        proposal = self.mixed(G, y, seen, *groups)
        if seen is not None:
            proposal = seen + proposal
        return self.budget.rescale(proposal, y) if self._threat.ball == "project" else proposal

    def _look(self, f: nn.Module, y: Tensor, x: Tensor, samples: Tensor) -> Tensor | None:
        """ĝ on the sphere: the loss gradient where another perturbation has switched the null directions on; or δ̄."""
        if self._threat.sees == "sinogram":
            return None
        if self._last is None:
            at = FIRST_LOOK * self.budget.random(y, derive_seed(self.recipe.seed, "hint", self.step))
        else:
            at = self.budget.rescale(self._last[samples.to(y.device) % len(self._last)], y)
            if self._threat.sees == "last":
                return at
        seen = self.budget.rescale(self.gradient(f, y, x, at), y)
        for _ in range(self._threat.applications - 1):
            with torch.no_grad():
                at = self._perturbation(self._raw, y, seen, samples)
            seen = self.budget.rescale(at + self.budget.rescale(self.gradient(f, y, x, at), y), y)
        return seen

    def _remember(self, delta: Tensor, samples: Tensor) -> None:
        """δ of all processes in the order of their samples: the same however many there are."""
        order = self._everyone(samples).argsort(stable=True)
        self._last = self._everyone(delta)[order.to(delta.device)]

    def _everyone(self, values: Tensor) -> Tensor:
        return torch.as_tensor(self.fabric.all_gather(values)).reshape(-1, *values.shape[1:])

    def state_dict(self) -> dict[str, Any]:
        return {
            "perturber": self._raw.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "lambda_2": self._lambda_2,
            **({} if self._last is None else {"last": self._last}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._raw.load_state_dict(state["perturber"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._lambda_2 = state["lambda_2"]
        self._last = state["last"].to(self.fabric.device) if "last" in state else None


def _optimizer(perturber: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    threat = recipe.threat
    if threat.optimizer == "sgd":
        return torch.optim.SGD(perturber.parameters(), lr=threat.lr, momentum=0.9)
    return torch.optim.Adam(perturber.parameters(), lr=threat.lr)

"""Projected gradient ascent: the independent adversary by which robustness is measured."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ctrobust.core.errors import UserError
from ctrobust.core.seeds import derive_seed
from ctrobust.threat.budget import Budget, L2Ball, per_sample
from ctrobust.threat.rules import RULES

Reconstructor = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class ProjectedGradientAscent:
    """Looks for argmax ‖f(y + δ) − x‖² over the budget, per sample; returns δ, never y + δ.

        v = Π(δ + m (δ − δ₋))
        δ ← Π(v + αₖ ρ u)        u = argmax {⟨h, u⟩ : |u| ≤ 1}

    g = ∇ of the squared error at v; ρ: the budget's radius, |·| its length; `rule` says what of the gradients is
    climbed (h), how far (αₖ ≤ `step`) and with what momentum m, see `ctrobust.threat.rules`; by default h = g, m and αₖ
    those of Nesterov's momentum with adaptive restart. Of all points visited from all starts the worst is kept. The
    first start is `start` where one is given, the others are random on the sphere.

    f: any callable y ↦ x̂. A torch module is held in eval mode meanwhile. Where f has a `projector`, its
    `matched` says whether gradients are exact; otherwise they are compared with finite differences first.
    Raises UserError on inexact gradients, unless `allow_unmatched`.
    """

    budget: Budget
    steps: int = 100
    restarts: int = 3
    step: float = 3.0
    seed: int = 0
    allow_unmatched: bool = False
    rule: str = "momentum"

    def __post_init__(self) -> None:
        if self.steps < 1 or self.restarts < 1:
            raise ValueError(f"steps {self.steps}, restarts {self.restarts}: both must be at least 1")
        if self.rule not in RULES:
            raise ValueError(f"rule {self.rule!r}: give one of {', '.join(RULES)}")

    def with_eps(self, eps: float) -> "ProjectedGradientAscent":
        """The same attack with a budget of another size."""
        return replace(self, budget=self.budget.with_eps(eps))

    def __call__(self, f: Reconstructor, y: Tensor, x: Tensor, start: Tensor | None = None) -> Tensor:
        """δ of the shape of y, (B, 1, views, bins); x: the truth, (B, 1, H, W)."""
        if self.budget.eps == 0:
            return torch.zeros_like(y)
        with evaluating(f), exact_arithmetic():
            if not self.allow_unmatched:
                require_exact_gradient(f, y, x)
            worst, found = torch.zeros_like(y), squared_error(f, y, x)
            for restart in range(self.restarts):
                for delta, error in self._ascend(f, y, x, self.starting_point(y, restart, start)):
                    better = error > found
                    found = torch.where(better, error, found)
                    worst = torch.where(per_sample(better), delta, worst)
        return worst

    def starting_point(self, y: Tensor, restart: int, given: Tensor | None = None) -> Tensor:
        """Where the restart of that number, from 0, begins."""
        if restart == 0 and given is not None:
            return self.budget.project(given, y)
        return self.budget.random(y, derive_seed(self.seed, "ascent", restart))

    def _ascend(
        self, f: Reconstructor, y: Tensor, x: Tensor, delta: Tensor
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Every point at which a gradient was taken, and the last, with its (B,) errors."""
        radius = per_sample(self.budget.radius(y)).to(y)

        def reach(point: Tensor, gradient: Tensor) -> Tensor:
            return self.budget.project(point + radius * self.budget.steepest(gradient, y), y) - point

        ahead, rule = delta, RULES[self.rule](self.steps, reach)
        for _ in range(self.steps):
            error, gradient = error_and_gradient(f, y, x, ahead)
            yield ahead, error
            move = rule(error, gradient, ahead)
            length = self.step * move.share
            direction = self.budget.steepest(move.climb, y)
            previous, delta = delta, self.budget.project(ahead + length * radius * direction, y)
            ahead = self.budget.project(delta + move.momentum * (delta - previous), y)
        yield delta, squared_error(f, y + delta, x)


def error_and_gradient(f: Reconstructor, y: Tensor, x: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
    """(B,) squared errors of f(y + δ), and their gradient with respect to δ."""
    with torch.enable_grad():
        delta = delta.detach().requires_grad_()
        error = _summed_squares(f(y + delta) - x)
        (gradient,) = torch.autograd.grad(error.sum(), delta)
    return error.detach(), gradient.nan_to_num()


@torch.no_grad()
def squared_error(f: Reconstructor, y: Tensor, x: Tensor) -> Tensor:
    """(B,) ‖f(yᵢ) − xᵢ‖₂², summed over pixels."""
    return _summed_squares(f(y) - x)


def _summed_squares(difference: Tensor) -> Tensor:
    # An image that is not a number is the worst there is, and must not slip through a comparison.
    return difference.square().flatten(1).sum(1).nan_to_num(nan=float("inf"), posinf=float("inf"))


def require_exact_gradient(f: Reconstructor, y: Tensor, x: Tensor) -> None:
    """Raise UserError where the gradient through f is known, or seen, to be inexact."""
    projector = getattr(f, "projector", None)
    if projector is not None:
        if not projector.matched:
            raise UserError(
                f"the operator's back-end {projector.backend!r} has no exact transpose, so the attack would "
                "understate the worst case: use a matched back-end, or allow_unmatched=True (evaluate.allow_unmatched)"
            )
        return
    gap = gradient_gap(f, y[:1], x[:1])
    if not gap < GRADIENT_TOLERANCE:
        raise UserError(
            f"the gradient through f differs from finite differences by {gap:.0%}, so the attack would "
            "understate the worst case: give f an exact transpose, or allow_unmatched=True"
        )


GRADIENT_TOLERANCE = 0.05
GRADIENT_DIRECTIONS = 6


def gradient_gap(f: Reconstructor, y: Tensor, x: Tensor) -> float:
    """How far the slopes that the gradient g promises are from those measured; 0: none, 1: g knows nothing of them.

    Along g itself and along random directions, since a gradient that lacks a part of the true one is right along
    itself. Slopes are central differences about y + a random δ of a hundredth of ‖y‖: at δ = 0 a perfect
    reconstruction has none.
    """
    start = L2Ball(0.01).random(y, 0)
    error, gradient = error_and_gradient(f, y, x, start)
    if not gradient.any():
        # Flat to the gradient, as rounding is: then it must be flat at a coarse step, too.
        return float((error != squared_error(f, y, x)).any())
    # A short step, because a network's slopes change at every ReLU that it crosses; where rounding drowns that, a
    # long one: a gradient that is wrong is wrong at both.
    return min(_gap_at(step, f, y, x, start, gradient) for step in (1e-4, 1e-2))


def _gap_at(step: float, f: Reconstructor, y: Tensor, x: Tensor, start: Tensor, gradient: Tensor) -> float:
    directions = [L2Ball(step).rescale(gradient, y)]
    directions += [L2Ball(step).random(y, seed) for seed in range(1, 1 + GRADIENT_DIRECTIONS)]
    promised = torch.stack([2 * (gradient.double() * u).flatten(1).sum(1) for u in directions])
    measured = torch.stack([_difference(f, y + start + u, y + start - u, x) for u in directions])
    gaps = [
        float((told - found).norm() / torch.maximum(told.norm(), found.norm()).clamp_min(1e-30))
        for told, found in ((promised[:1], measured[:1]), (promised[1:], measured[1:]))
    ]
    return max(gaps)


@torch.no_grad()
def _difference(f: Reconstructor, one: Tensor, other: Tensor, x: Tensor) -> Tensor:
    """(B,) ‖f(one) − x‖² − ‖f(other) − x‖², as a product: what both leave unreconstructed does not drown it."""
    a, b = (f(y).double() for y in (one, other))
    return ((a - b) * (a + b - 2 * x)).flatten(1).sum(1)


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """float32 without tf32: an attack in less would understate the worst case."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


@contextmanager
def evaluating(f: Reconstructor) -> Iterator[None]:
    """f in eval mode: batch-norm statistics must neither move nor be taken from the attacked batch."""
    modules = [module for module in f.modules() if module.training] if isinstance(f, nn.Module) else []
    for module in modules:
        module.training = False
    try:
        yield
    finally:
        for module in modules:
            module.training = True

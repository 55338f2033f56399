"""Perturbations of the image, mapped through A: the adversary that never leaves Range(A)."""

from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from ctrobust.threat.ascent import (
    ProjectedGradientAscent,
    Reconstructor,
    evaluating,
    exact_arithmetic,
    require_exact_gradient,
)
from ctrobust.threat.budget import Budget, drawn, per_sample
from ctrobust.threat.confined import require_unconfined, unit


class Operator(Protocol):
    """A, and its transpose."""

    def __call__(self, x: Tensor) -> Tensor: ...

    def T(self, y: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class ImageDomain:
    """δ = A r, r found by `attack`'s ascent on ‖f(y + A r) − x‖²: what the paper argues against.

    held    image         r is held, |r| ≤ eps|x| by the attack's budget with x in place of y; δ may have any size. To
                          be compared with the worst δ of that very size, ‖A r‖ (Raj, Bresler, Li, ICML 2020).
            measurement   δ = A r is held to the attack's budget. Where A has full row rank every δ is some A r, and
                          this is the measurement's own worst case; else the worst in Range(A).
    A       of r; f.projector where it is not given
    solves  iterations of conjugate gradients for the steepest direction within Range(A), δ ∝ A A⁺ g. Aᵀg itself would
            be poor in what A transmits badly, and this adversary a straw man.
    Raises ValueError where there is no A, and on a budget that is confined to another subspace than Range(A).
    """

    attack: ProjectedGradientAscent
    A: Operator | None = None
    held: Literal["image", "measurement"] = "measurement"
    solves: int = 20

    def __post_init__(self) -> None:
        require_unconfined(self.attack.budget)

    def __call__(self, f: Reconstructor, y: Tensor, x: Tensor, start: Tensor | None = None) -> Tensor:
        A: Operator = operator_of(f, self.A)
        delta = A(self.image(f, y, x, start))
        if self.held == "image":
            return delta
        # Shortened rather than projected: to clip a reading would leave Range(A).
        budget = self.attack.budget
        return torch.where(per_sample(budget.size(delta, y) <= budget.eps), delta, budget.rescale(delta, y))

    def with_eps(self, eps: float) -> "ImageDomain":
        """The same in a budget of another size."""
        return replace(self, attack=self.attack.with_eps(eps))

    @torch.no_grad()
    def image(self, f: Reconstructor, y: Tensor, x: Tensor, start: Tensor | None = None) -> Tensor:
        """r, (B, 1, H, W); `start`: a δ."""
        A, budget = operator_of(f, self.A), self.attack.budget
        if self.held == "measurement":
            budget = _Mapped(budget, A, y, self.solves)
        with evaluating(f), exact_arithmetic():
            if not self.attack.allow_unmatched:
                require_exact_gradient(f, y, x)
            attack = replace(self.attack, budget=budget, allow_unmatched=True)
            first = None if start is None else _solve(A, A.T(start), self.solves)
            return attack(lambda moved: f(y + A(moved - x)), x, x, first)


def operator_of(f: Any, A: Any) -> Any:
    """A, or else f's own; ValueError where there is neither."""
    A = getattr(f, "projector", None) if A is None else A
    if A is None:
        raise ValueError("A: f has no `projector`; give the operator that it reconstructs from")
    return A


@dataclass(frozen=True)
class _Mapped:
    """A budget of δ = A r as one of r; the image stands where y does elsewhere, so y itself is kept."""

    budget: Budget
    A: Operator
    y: Tensor
    solves: int

    @property
    def eps(self) -> float:
        return self.budget.eps

    def with_eps(self, eps: float) -> "_Mapped":
        return replace(self, budget=self.budget.with_eps(eps))

    def radius(self, x: Tensor) -> Tensor:
        return self.budget.radius(self.y)

    def size(self, r: Tensor, x: Tensor) -> Tensor:
        return self.budget.size(self.A(r), self.y)

    def project(self, r: Tensor, x: Tensor) -> Tensor:
        return torch.where(per_sample(self.size(r, x) <= self.eps), r, self.rescale(r, x))

    def rescale(self, r: Tensor, x: Tensor) -> Tensor:
        size = self.size(r, x)
        # A r is computed anew from the shortened r: its rounding must not carry it over either.
        bound = self.eps * (1 - 64 * torch.finfo(r.dtype).eps)
        return r * per_sample(torch.where(size > 0, bound / size, 0)).to(r)

    def random(self, x: Tensor, seed: int) -> Tensor:
        return self.rescale(drawn(x, seed, torch.randn).to(x), x)

    def steepest(self, gradient: Tensor, x: Tensor) -> Tensor:
        return unit(self, _solve(self.A, gradient, self.solves), x)


def _solve(A: Operator, back: Tensor, iterations: int) -> Tensor:
    """(AᵀA)⁺ back, nearly: conjugate gradients from 0, each sample until it is at the level of rounding."""
    solution, residual, direction = torch.zeros_like(back), back, back
    first = slope = _dot(residual, residual)
    for _ in range(iterations):
        ahead = A(direction)
        energy = _dot(ahead, ahead)
        going = (energy > 0) & (slope > first * (4 * torch.finfo(back.dtype).eps) ** 2)
        length = per_sample(torch.where(going, slope / energy, 0))
        solution = solution + length * direction
        residual = residual - length * A.T(ahead)
        before, slope = slope, _dot(residual, residual)
        direction = residual + per_sample(torch.where(going, slope / before, 0)) * direction
    return solution


def _dot(one: Tensor, other: Tensor) -> Tensor:
    return (one * other).flatten(1).sum(1)

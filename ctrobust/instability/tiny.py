"""Test 1, tiny perturbations of the image: the protocol of Antun et al., and ours at the same size of δ."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from ctrobust.threat.ascent import (
    ProjectedGradientAscent,
    Reconstructor,
    evaluating,
    exact_arithmetic,
    require_exact_gradient,
    squared_error,
)
from ctrobust.threat.budget import Lengths, drawn, norms, relative_norms
from ctrobust.threat.image_domain import Operator, operator_of


class Tiny(NamedTuple):
    """What the protocol ends at.

    r (B, 1, H, W); delta = A r; relative (B,) float64 ‖A r‖/‖y‖; clean = f(y); perturbed = f(y + A r);
    objective (steps + 1, B) float64, Q at every r from the first to the last.
    """

    r: Tensor
    delta: Tensor
    relative: Tensor
    clean: Tensor
    perturbed: Tensor
    objective: Tensor


@dataclass(frozen=True)
class TinyPerturbation:
    """Ascent on the image's perturbation r (Antun, Renna, Poon, Adcock, Hansen, PNAS 117 (2020), algorithm 1).

        Q(r) = ½‖f(y + A r) − f(y)‖² − (λ/2)‖r‖²,   v ← γ v + η ∇Q(r),   r ← r + v,   r₀ = τ·U[0, 1], v₀ = 0

    The defaults are their settings for CT: λ = 20, η = .005, γ = .9, τ = 5e-3, 100 iterations; the last r counts, not
    the best. Q has no unit but x's squared, so λ and η mean the same here as there; τ is in the units of x. λ is a
    price and no bound: where f ∘ A stretches nothing by more than √λ ≈ 4.5, as no stable f does, r shrinks to nothing,
    and where it does r grows without end. `side_by_side` compares at the size that came of it.
    """

    price: float = 20.0
    step: float = 0.005
    steps: int = 100
    start: float = 5e-3
    momentum: float = 0.9
    seed: int = 0

    def __call__(self, f: Reconstructor, y: Tensor, x: Tensor, A: Operator | None = None) -> Tiny:
        """y (B, 1, views, bins), A x in their protocol; x (B, 1, H, W); A: f.projector where it is not given.

        A torch module is held in eval mode meanwhile. Raises ValueError where there is no A, UserError on inexact
        gradients through f.
        """
        A = operator_of(f, A)
        assert A is not None
        with evaluating(f), exact_arithmetic():
            require_exact_gradient(f, y, x)
            with torch.no_grad():
                clean = f(y)
            r = self.start * drawn(x, self.seed, torch.rand).to(x)
            velocity, trace = torch.zeros_like(r), []
            for _ in range(self.steps):
                value, gradient = self._ascent(f, A, y, clean, r)
                velocity = self.momentum * velocity + self.step * gradient
                r = r + velocity
                trace.append(value)
            trace.append(self._ascent(f, A, y, clean, r)[0])
            with torch.no_grad():
                delta = A(r)
                perturbed = f(y + delta)
        return Tiny(r, delta, relative_norms(delta, y), clean, perturbed, torch.stack(trace))

    def _ascent(
        self, f: Reconstructor, A: Operator, y: Tensor, clean: Tensor, r: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(B,) Q(r), and ∇Q(r)."""
        with torch.enable_grad():
            r = r.detach().requires_grad_()
            change = (f(y + A(r)) - clean).double().square().flatten(1).sum(1)
            value = change / 2 - self.price / 2 * r.double().square().flatten(1).sum(1)
            (gradient,) = torch.autograd.grad(value.sum(), r)
        return value.detach(), gradient


class SideBySide(NamedTuple):
    """delta (B, 1, views, bins), ours; reconstruction = f(y + δ); rows: a dictionary a sample."""

    delta: Tensor
    reconstruction: Tensor
    rows: list[dict[str, float]]


def side_by_side(
    f: Reconstructor, y: Tensor, x: Tensor, tiny: Tiny, attack: ProjectedGradientAscent
) -> SideBySide:
    """The worst δ of the measurement, ‖δᵢ‖ = ‖A rᵢ‖ at most, beside A r; by `attack` with a budget of that size.

    Both climb ‖f(y + δ) − f(y)‖, and ours starts at A r: what it finds more is what the image's domain misses.
    Rows: `relative` ‖δ‖/‖y‖; `change_*` ‖f(y + δ) − f(y)‖₂; `error_*` ‖f(y + δ) − x‖₂² summed over pixels, for
    clean, theirs (image) and ours (measurement).
    """
    budget = Lengths(1.0, lengths=norms(tiny.delta))
    delta = replace(attack, budget=budget)(f, y, tiny.clean, tiny.delta)
    columns = {"relative": tiny.relative}
    with evaluating(f), exact_arithmetic(), torch.no_grad():
        found = f(y + delta)
        columns["error_clean"] = squared_error(f, y, x)
    for name, image in (("image", tiny.perturbed), ("measurement", found)):
        columns[f"change_{name}"] = norms(image - tiny.clean)
        columns[f"error_{name}"] = norms(image - x).square()
    rows = [
        dict(zip(columns, values, strict=True))
        for values in zip(*(column.tolist() for column in columns.values()), strict=True)
    ]
    return SideBySide(delta, found, rows)

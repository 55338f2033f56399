"""The worst case of a linear f at full size, from products with F and Fᵀ: found, and bounded from above."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ctrobust.bounds.jacobian import Jacobian, Reconstructor, require_linear
from ctrobust.bounds.krylov import Array, Krylov
from ctrobust.bounds.norm import CHECKED_EVERY, OperatorNorm, operator_norm
from ctrobust.core.errors import UserError
from ctrobust.theory import worst_perturbation
from ctrobust.threat.ascent import evaluating, exact_arithmetic
from ctrobust.threat.budget import L2Ball, norms, per_sample


@dataclass(frozen=True)
class WorstCase:
    """found = ‖f(y + δ) − x‖² ≤ max over the ball ≤ upper, all (B,) float64; delta: (B, 1, views, bins).

    clean: ‖f(y) − x‖². norm: ‖F‖, from below and from above; the upper bound holds where that does.
    """

    delta: Tensor
    clean: Tensor
    found: Tensor
    upper: Tensor
    norm: OperatorNorm

    @property
    def gap(self) -> Tensor:
        """(B,) (upper − found)/(upper − clean): the share of the exact increase that may be missing."""
        increase = self.upper - self.clean
        return torch.where(increase > 0, (self.upper - self.found) / increase, 0)


def worst_case_of_linear(
    f: Reconstructor,
    y: Tensor,
    x: Tensor,
    budget: L2Ball,
    *,
    tolerance: float = 1e-3,
    steps: int = 300,
    seed: int = 0,
) -> WorstCase:
    """max ‖F δ + r‖² over the ball for f(y) = F y + c and r = f(y) − x, until the gap is at most `tolerance`.

    The problem is solved exactly in a growing space (generalised Lanczos trust region; Gould, Lucidi, Roma and Toint,
    SIAM J. Optim. 1999): the Krylov space of Fᵀr beside the top singular vectors that settled while ‖F‖ was found,
    once for all samples. They make it fast, and hold what the hard case is filled up with. By duality every δ of the
    ball bounds the maximum, for every μ > σ̄² ≥ ‖F‖²:

        max ≤ ‖F δ + r‖² + μ(ρ² − ‖δ‖²) + ‖Fᵀ(F δ + r) − μ δ‖²/(μ − σ̄²)

    y: (B, 1, views, bins), x: (B, 1, H, W), in float64 for more than five digits. steps: the most products with FᵀF,
    for the norm and again for the samples; B·steps sinograms are kept. Raises UserError where f is not linear in y,
    its gradient is not its transpose, or the budget is no `L2Ball`.
    """
    require_ball(budget)
    with evaluating(f), exact_arithmetic():
        F = Jacobian(f, y)
        require_linear(f, F, y)
        norm = _norm(f, y, tolerance, steps, seed)
        r = F.image - x
        clean, radius = norms(r).square().cpu(), budget.radius(y).cpu()
        steps = min(steps, y[0].numel())
        space = Krylov(F.gram, F.T(r), steps, norm.space.eigenpairs(tolerance / 100))
        for k in range(1, steps + 1):
            space.extend()
            if k % CHECKED_EVERY and k < steps:
                continue
            delta = budget.rescale(space.combine(_solutions(space, radius)), y)
            image = F(delta) + r
            found = norms(image).square().cpu()
            upper = _bound(found, F.T(image), delta, radius, float(norm.upper[0]) ** 2)
            worst = WorstCase(delta, clean, found, upper, norm)
            if float(worst.gap.max()) <= tolerance:
                break
    return worst


def require_ball(budget: object) -> None:
    """Raise UserError where a budget is not an `L2Ball`, the one for which there are bounds."""
    if not isinstance(budget, L2Ball):
        raise UserError(f"bounds: only in an L2Ball, not a {type(budget).__name__}")


def _norm(f: Reconstructor, y: Tensor, tolerance: float, steps: int, seed: int) -> OperatorNorm:
    """Tight enough for its vector, too, which settles with the root of what the value does."""
    tight = max((tolerance / 100) ** 2, 5000 * torch.finfo(y.dtype).eps)
    return operator_norm(Jacobian(f, y[:1]).gram, y[:1], tolerance=tight, steps=steps, seed=seed)


def _solutions(space: Krylov, radius: Tensor) -> Array:
    """(B, K) the exact solutions in the space; that of an empty ball is 0."""
    solutions = np.zeros_like(space.start)
    for sample, (projected, start) in enumerate(zip(space.projected, space.start, strict=True)):
        if radius[sample] > 0 and projected.any():
            values, vectors = np.linalg.eigh(projected)
            F = np.sqrt(values.clip(0))
            r = np.divide(vectors.T @ start, F, where=F > 0, out=np.zeros_like(F))
            solutions[sample] = vectors @ worst_perturbation(np.diag(F), r, float(radius[sample]))
    return solutions


def _bound(found: Tensor, slope: Tensor, delta: Tensor, radius: Tensor, top: float) -> Tensor:
    """(B,) the bound of `worst_case_of_linear` at the best μ; `top`: σ̄²."""
    size = norms(delta).square()
    inner = (slope * delta).double().flatten(1).sum(1) / torch.where(size > 0, size, 1)
    astray = norms(slope.double() - per_sample(inner) * delta).square() / torch.where(size > 0, size, 1)
    size, inner, astray = size.cpu(), inner.cpu(), astray.cpu()
    # With t = μ − σ̄² and t₀ = ⟨slope, δ⟩/‖δ‖² − σ̄² the last term is ‖δ‖²·(astray + (t − t₀)²)/t, least at this t.
    t0 = inner - top
    t = (t0.square() + astray).sqrt().clamp_min(torch.finfo(torch.float64).tiny)
    t0 = torch.where(t > torch.finfo(torch.float64).tiny, t0, t)
    rest = (top + t) * (radius.square() - size).clamp_min(0) + size * (astray + (t - t0).square()) / t
    return torch.where(radius > 0, found + rest, found)

"""The worst case from below and, where that can be had, from above: what a report shows beside a curve."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ctrobust.bounds.jacobian import Reconstructor, is_linear
from ctrobust.bounds.linear import require_ball, worst_case_of_linear
from ctrobust.bounds.lipschitz import local_lipschitz_estimate, predicted_error
from ctrobust.bounds.product import product_bound, trivial_error
from ctrobust.core.errors import UserError
from ctrobust.threat.adversary import Adversary
from ctrobust.threat.ascent import ProjectedGradientAscent, evaluating, exact_arithmetic, squared_error
from ctrobust.threat.budget import L2Ball


@dataclass(frozen=True)
class Bound:
    """What one way says of max ‖f(y + δ) − x‖² over the ball.

    kind      attack, exact, estimate or product
    side      lower, upper, or none: an estimate may err to either side
    errors    (B,) float64, summed over pixels; None where this way does not apply, for the reason in `note`
    vacuous   an upper bound above what clamping the image to −1000 … 3071 HU would promise, for every sample
    lipschitz (B,) the constant it was made with
    """

    kind: str
    side: str
    errors: Tensor | None
    note: str = ""
    vacuous: bool = False
    lipschitz: Tensor | None = None

    def row(self) -> dict[str, Any]:
        """For JSON: the mean over samples as `rho`, as in the curve."""
        means = {"rho": self.errors, "lipschitz": self.lipschitz}
        return {
            "kind": "product (vacuous)" if self.vacuous else self.kind,
            "side": self.side,
            **{name: None if values is None else float(values.mean()) for name, values in means.items()},
            "note": self.note,
        }


def bracket(
    f: Reconstructor, y: Tensor, x: Tensor, budget: L2Ball, attack: Adversary | None = None
) -> list[Bound]:
    """Lower: an attack. Upper: exact for an affine f; else an estimate, and a product where f's layers can be read.

    y: (B, 1, views, bins), x: (B, 1, H, W). attack: an adversary of this budget, by default
    `ProjectedGradientAscent`. An affine f is bracketed to a thousandth of the exact increase (`WorstCase.gap`). Raises
    ValueError where the attack leaves the budget, UserError where that is no `L2Ball`.
    """
    require_ball(budget)
    delta = (ProjectedGradientAscent(budget) if attack is None else attack)(f, y, x)
    size = float(budget.size(delta, y).max())
    if size > budget.eps * (1 + 1e-6):
        raise ValueError(
            f"attack: goes up to {size:.4g}, beyond eps {budget.eps:.4g}; give it the same budget"
        )
    with evaluating(f), exact_arithmetic():
        lower = Bound("attack", "lower", squared_error(f, y + delta, x).double().cpu())
        if is_linear(f, y):
            return [lower, *_exact(f, y, x, budget)]
        return [lower, *_steepness(f, y, x, budget)]


def _exact(f: Reconstructor, y: Tensor, x: Tensor, budget: L2Ball) -> list[Bound]:
    worst = worst_case_of_linear(f, y, x, budget)
    note = f"gap {float(worst.gap.max()):.1e} of the increase"
    slope = worst.norm.upper.expand(len(y))
    return [
        Bound("exact", "lower", worst.found, note, lipschitz=slope),
        Bound("exact", "upper", worst.upper, note, lipschitz=slope),
    ]


def _steepness(f: Reconstructor, y: Tensor, x: Tensor, budget: L2Ball) -> list[Bound]:
    clean, radius = squared_error(f, y, x).double().cpu(), budget.radius(y).cpu()
    local = local_lipschitz_estimate(f, y).upper
    note = "first order at y; f may be steeper elsewhere in the ball"
    estimate = Bound("estimate", "none", predicted_error(clean, radius, local), note, lipschitz=local)
    try:
        constant = torch.full_like(clean, product_bound(f, y))  # type: ignore[arg-type]
    except UserError as error:
        return [estimate, Bound("product", "upper", None, str(error))]
    errors, trivial = predicted_error(clean, radius, constant), trivial_error(x).cpu()
    orders = float((constant / local).log10().mean())
    note = f"{orders:.1f} orders of magnitude above the local estimate"
    vacuous = bool((errors > trivial).all())
    return [estimate, Bound("product", "upper", errors, note, vacuous, constant)]

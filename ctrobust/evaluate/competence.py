"""Was the attack any good? Checks that travel with every curve."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ctrobust.bounds.jacobian import Jacobian, is_linear
from ctrobust.bounds.linear import worst_case_of_linear
from ctrobust.core.errors import UserError
from ctrobust.core.seeds import derive_seed
from ctrobust.evaluate.mixed import MixedAscent
from ctrobust.evaluate.sharing import share_out
from ctrobust.operators.dense import DenseOperator
from ctrobust.reconstruct import FilteredBackProjection
from ctrobust.reconstruct.learned import Operator
from ctrobust.threat import L2Ball, ProjectedGradientAscent, Whitened
from ctrobust.threat.ascent import GRADIENT_TOLERANCE, Reconstructor, gradient_gap, squared_error
from ctrobust.threat.budget import norms

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Check = dict[str, Any]

ADJOINT_TOLERANCE = 1e-6
CONVERGENCE_TOLERANCE = 0.02
EXACTNESS_TOLERANCE = 0.01
ROUNDING = 1e-3
"""How far above the upper bound of the exact increase, as a share of it, an attack may seem to come."""
GRADIENT_SAYS = (
    "relative difference between the slopes the gradient through f promises and central differences"
)


def attack_checks(
    f: Reconstructor,
    A: Operator,
    y: Tensor,
    x: Tensor,
    attack: ProjectedGradientAscent,
    fabric: "Fabric | None" = None,
) -> dict[str, Check]:
    """Is Aᵀ the transpose, is the gradient right, would a longer, wider or other attack find more, is the maximum met?

    Each is a value below its limit, or `ok` is false. What there is to compute is shared out over the processes of the
    fabric. `exact` is left out where no exact worst case is known (an L∞ budget), `precision` in float32.
    """
    stronger = replace(attack, rule="adam", steps=2 * attack.steps)
    work: tuple[Callable[[], Any], ...] = (
        partial(_rho, f, y, x, attack),
        partial(_rho, f, y, x, replace(attack, steps=2 * attack.steps)),
        partial(_rho, f, y, x, replace(attack, restarts=attack.restarts + 1)),
        partial(_rho, f, y, x, stronger),
        partial(adjoint_gap, A, attack.seed),
        partial(gradient_gap, f, y, x),
        partial(exactness, f, A, y, x, attack),
        partial(_in_float32, f, y, x, attack),
    )
    once, twice, wider, second, adjoint, gradient, exact, full = share_out(work, "check the attack", fabric)
    on = f"at ε = {attack.budget.eps:g}, on {len(y)} slices"
    checks = {
        "adjoint": _check(
            adjoint,
            ADJOINT_TOLERANCE,
            "|⟨Ax, y⟩ − ⟨x, Aᵀy⟩| / (‖Ax‖ ‖y‖) of the operator the gradients went through",
        ),
        "gradient": _check(gradient, GRADIENT_TOLERANCE, GRADIENT_SAYS),
        "convergence": _check(
            abs(twice - once) / once,
            CONVERGENCE_TOLERANCE,
            f"relative change of ρ̂ when the attack's steps are doubled, {on}",
        ),
        "restarts": _check(
            abs(wider - once) / once,
            CONVERGENCE_TOLERANCE,
            f"relative change of ρ̂ when the attack starts once more, {on}",
        ),
        "second": _check(
            max(second - once, 0.0) / once,
            CONVERGENCE_TOLERANCE,
            f"by how much more a second attack (Adam, twice the steps) finds, as a share of ρ̂, {on}",
        ),
    }
    if full is not None:
        checks["precision"] = _check(
            max(full - once, 0.0) / full,
            CONVERGENCE_TOLERANCE,
            f"by how much less the attack finds in bfloat16 than in float32, as a share of ρ̂, {on}",
        )
    return checks if exact is None else checks | {"exact": exact}


def gradient_check(f: Reconstructor, y: Tensor, x: Tensor) -> dict[str, Check]:
    """The one of the checks that a control needs for itself: the attack on it is that on f."""
    return {"gradient": _check(gradient_gap(f, y, x), GRADIENT_TOLERANCE, GRADIENT_SAYS)}


def competent(checks: dict[str, Check]) -> bool:
    """Whether all of them hold."""
    return all(check["ok"] for check in checks.values())


@torch.no_grad()
def adjoint_gap(A: Operator, seed: int) -> float:
    """|⟨Ax, y⟩ − ⟨x, Aᵀy⟩| / (‖Ax‖ ‖y‖) for random x and y; sums in float64."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "adjoint"))
    x = torch.randn(1, 1, *A.image_shape, generator=generator).to(A.device)
    y = torch.randn(1, 1, *A.sinogram_shape, generator=generator).to(A.device)
    forward, back = A(x).double(), A.T(y).double()
    gap = (forward * y).sum() - (x * back).sum()
    return float(gap.abs() / (forward.norm() * y.double().norm()))


def exactness(
    f: Reconstructor, A: Operator, y: Tensor, x: Tensor, attack: ProjectedGradientAscent
) -> Check | None:
    """By how much the attack misses the exact increase of f's error, of the slices the most; None for L∞.

    Of an f that is not linear the exact increase is not known, and FBP by A stands in for it. The exact maximum is
    taken from its upper bound, so that the share found is never overstated; an attack that comes out above even that
    by more than rounding fails as well, since one of the two is wrong then.
    """
    if not isinstance(attack.budget, L2Ball | Whitened):
        return None
    own = _has_an_exact_worst_case(f, y)
    stand_in = "the pseudo-inverse" if isinstance(A, DenseOperator) else "FBP"
    what = (
        f"share of the exact increase that the same attack misses on {'f itself' if own else stand_in}, of the "
        "checked slices the most"
    )
    if attack.budget.eps == 0:
        return _check(0.0, EXACTNESS_TOLERANCE, what)
    linear = f if own else FilteredBackProjection(A)
    try:
        delta = attack(linear, y, x)
        clean, most = _exact(linear, y, x, attack.budget)
    except UserError as mistake:
        return {"value": None, "limit": EXACTNESS_TOLERANCE, "ok": False, "what": f"{what}: {mistake}"}
    with torch.no_grad():
        found = norms(linear(y + delta) - x).square().cpu()
    missed = (most - found) / (most - clean)
    if float(missed.min()) < -ROUNDING:
        above = f"{what}; below −{ROUNDING:g} it is above the maximum, and one of the two is wrong"
        return _check(float(missed.min()), EXACTNESS_TOLERANCE, above) | {"ok": False}
    return _check(float(missed.max()), EXACTNESS_TOLERANCE, what)


def _has_an_exact_worst_case(f: Reconstructor, y: Tensor) -> bool:
    """Whether f is linear, and its derivative a graph that products with it can be taken from."""
    if not is_linear(f, y):
        return False
    try:
        Jacobian(f, y[:1])(torch.zeros_like(y[:1]))
    except (RuntimeError, UserError):  # autograd's words for an f that is differentiable once
        return False
    return True


def _exact(f: Reconstructor, y: Tensor, x: Tensor, budget: L2Ball | Whitened) -> tuple[Tensor, Tensor]:
    """(B,) ‖f(y) − x‖², and an upper bound of its maximum that is within a thousandth of the increase."""
    if isinstance(budget, L2Ball):
        worst = worst_case_of_linear(f, y, x, budget)
        return worst.clean, worst.upper
    # In z = Σ^(−½) δ the ellipsoid is a ball, another one for every sample.
    found = [
        _exact_in_noise(f, *pair, budget) for pair in zip(torch.split(y, 1), torch.split(x, 1), strict=True)
    ]
    clean, most = zip(*found, strict=True)
    return torch.cat(clean), torch.cat(most)


def _exact_in_noise(f: Reconstructor, y: Tensor, x: Tensor, budget: Whitened) -> tuple[Tensor, Tensor]:
    sigma = budget.sigma(y).to(y)
    return _exact(lambda z: f(y + sigma * z), torch.zeros_like(y), x, L2Ball(budget.eps, relative=False))


def _rho(f: Reconstructor, y: Tensor, x: Tensor, attack: ProjectedGradientAscent) -> float:
    return float(squared_error(f, y + attack(f, y, x), x).double().mean())


def _in_float32(f: Reconstructor, y: Tensor, x: Tensor, attack: ProjectedGradientAscent) -> float | None:
    """None where the attack is in float32 anyway."""
    return _rho(f, y, x, attack.in_float32()) if isinstance(attack, MixedAscent) else None


def _check(value: float, limit: float, what: str) -> Check:
    return {"value": value, "limit": limit, "ok": bool(value < limit), "what": what}

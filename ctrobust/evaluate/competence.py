"""Was the attack any good? Checks that travel with every curve."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ctrobust.bounds.jacobian import Jacobian, is_linear
from ctrobust.bounds.linear import worst_case_of_linear
from ctrobust.core.errors import UserError
from ctrobust.core.seeds import derive_seed
from ctrobust.evaluate.mixed import MixedAscent
from ctrobust.evaluate.resuming import Keep, anew
from ctrobust.evaluate.sharing import share_out
from ctrobust.evaluate.strength import (
    CONVERGENCE_TOLERANCE,
    Check,
    check,
    errors,
    strength_checks,
    trials,
)
from ctrobust.operators.dense import DenseOperator
from ctrobust.reconstruct import FilteredBackProjection
from ctrobust.reconstruct.learned import Operator
from ctrobust.threat import L2Ball, ProjectedGradientAscent, Whitened
from ctrobust.threat.ascent import GRADIENT_TOLERANCE, Reconstructor, gradient_gap
from ctrobust.threat.budget import norms

if TYPE_CHECKING:
    from lightning_fabric import Fabric

ADJOINT_TOLERANCE = 1e-6
EXACTNESS_TOLERANCE = 0.01
OUTDONE_TOLERANCE = 0.01
ROUNDING = 1e-3
"""How far above the upper bound of the exact increase, as a share of it, an attack may seem to come."""


def attack_checks(
    f: Reconstructor,
    A: Operator,
    y: Tensor,
    x: Tensor,
    attack: ProjectedGradientAscent,
    fabric: "Fabric | None" = None,
    *,
    largest: float | None = None,
    name: str = "f",
    keep: Keep = anew,
) -> dict[str, Check]:
    """Is Aᵀ the transpose, is the gradient right, would a longer, wider or other attack find more, is the maximum met?

    Each is a value below its limit, or `ok` is false. What there is to compute is shared out over the processes of the
    fabric. `exact` is left out where no exact worst case is known (an L∞ budget), `precision` in float32.
    largest: the largest radius of the curve, where the strength of the attack is looked at again (`…_at_largest`): it
    is there that an ascent goes astray first. name: of f, for the progress and for what is kept.
    """
    radii = {"": attack}
    if largest is not None and largest != attack.budget.eps:
        radii["_at_largest"] = attack.with_eps(largest)
    work: dict[Any, Callable[[], Any]] = {
        "adjoint": partial(adjoint_gap, A, attack.seed),
        "gradient": partial(gradient_gap, f, y, x),
        "exact": partial(exactness, f, A, y, x, attack),
        "precision": partial(_precision, f, y, x, attack),
    }
    tried = {where: trials(f, y, x, at) for where, at in radii.items()}
    work |= {(where, trial): piece for where, each in tried.items() for trial, piece in each.items()}
    kept = [partial(keep, piece, ["check", name, trial]) for trial, piece in work.items()]
    found = dict(zip(work, share_out(kept, f"check the attack on {name}", fabric), strict=True))
    checks = {
        "adjoint": check(
            found["adjoint"],
            ADJOINT_TOLERANCE,
            "|⟨Ax, y⟩ − ⟨x, Aᵀy⟩| / (‖Ax‖ ‖y‖) of the operator the gradients went through",
        ),
        "gradient": check(
            found["gradient"],
            GRADIENT_TOLERANCE,
            "relative difference between the slopes the gradient through f promises and central differences",
        ),
    }
    for where, at in radii.items():
        of_it = strength_checks({trial: found[where, trial] for trial in tried[where]}, at)
        checks |= {f"{each}{where}": made for each, made in of_it.items()}
    return checks | {each: found[each] for each in ("precision", "exact") if found[each] is not None}


def outdone(adversaries: Sequence[Mapping[str, Any]], curve: Sequence[Mapping[str, Any]]) -> dict[str, Check]:
    """Does another adversary find more than the ascent at the same eps of the same budget, over all slices?

    adversaries, curve: their rows of a result. Nothing where there is no such adversary.
    """
    rho = {row["eps"]: row["rho"] for row in curve}
    more = {row["name"]: row["rho"] / rho[row["eps"]] - 1 for row in adversaries if row["eps"] is not None}
    if not more:
        return {}
    most = max(more, key=more.__getitem__)
    what = f"by how much more another adversary of the same budget finds, as a share of ρ̂, of all {most} the most"
    return {"adversaries": check(max(more[most], 0.0), OUTDONE_TOLERANCE, what)}


def competent(checks: dict[str, Check]) -> bool:
    """Whether all of them hold."""
    return all(each["ok"] for each in checks.values())


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
        return check(0.0, EXACTNESS_TOLERANCE, what)
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
        return check(float(missed.min()), EXACTNESS_TOLERANCE, above) | {"ok": False}
    return check(float(missed.max()), EXACTNESS_TOLERANCE, what)


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


def _precision(f: Reconstructor, y: Tensor, x: Tensor, attack: ProjectedGradientAscent) -> Check | None:
    """None where the attack is in float32 anyway."""
    if not isinstance(attack, MixedAscent):
        return None
    here, full = (sum(errors(f, y, x, each)) for each in (attack, attack.in_float32()))
    return check(
        max(full - here, 0.0) / full,
        CONVERGENCE_TOLERANCE,
        "by how much less the attack finds in bfloat16 than in float32, as a share of ρ̂, "
        f"at ε = {attack.budget.eps:g}, on {len(y)} slices",
    )

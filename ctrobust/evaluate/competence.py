"""Was the attack any good? Checks that travel with every curve."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ctrobust.core.seeds import derive_seed
from ctrobust.evaluate.sharing import share_out
from ctrobust.operators import Projector
from ctrobust.threat import ProjectedGradientAscent
from ctrobust.threat.ascent import GRADIENT_TOLERANCE, Reconstructor, gradient_gap, squared_error

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Check = dict[str, Any]

ADJOINT_TOLERANCE = 1e-6
CONVERGENCE_TOLERANCE = 0.02


def attack_checks(
    f: Reconstructor,
    A: Projector,
    y: Tensor,
    x: Tensor,
    attack: ProjectedGradientAscent,
    fabric: "Fabric | None" = None,
) -> dict[str, Check]:
    """Adjoint gap of the operator, finite-difference gap of the gradient, gain from doubling the steps.

    What there is to compute for them is shared out over the processes of the fabric.
    """
    twice, once, adjoint, gradient = share_out(
        (
            partial(_rho, f, y, x, replace(attack, steps=2 * attack.steps)),
            partial(_rho, f, y, x, attack),
            partial(adjoint_gap, A, attack.seed),
            partial(gradient_gap, f, y, x),
        ),
        "check the attack",
        fabric,
    )
    measured = {
        "adjoint": (
            adjoint,
            ADJOINT_TOLERANCE,
            "|⟨Ax, y⟩ − ⟨x, Aᵀy⟩| / (‖Ax‖ ‖y‖) of the operator the gradients went through",
        ),
        "gradient": (
            gradient,
            GRADIENT_TOLERANCE,
            "relative difference between the slopes the gradient through f promises and central differences",
        ),
        "convergence": (
            abs(twice - once) / once,
            CONVERGENCE_TOLERANCE,
            f"relative change of ρ̂ at ε = {attack.budget.eps:g} when the attack's steps are doubled, "
            f"on {len(y)} slices",
        ),
    }
    return {
        name: {"value": value, "limit": limit, "ok": bool(value < limit), "what": what}
        for name, (value, limit, what) in measured.items()
    }


@torch.no_grad()
def adjoint_gap(A: Projector, seed: int) -> float:
    """|⟨Ax, y⟩ − ⟨x, Aᵀy⟩| / (‖Ax‖ ‖y‖) for random x and y; sums in float64."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "adjoint"))
    x = torch.randn(1, 1, *A.image_shape, generator=generator).to(A.device)
    y = torch.randn(1, 1, *A.sinogram_shape, generator=generator).to(A.device)
    forward, back = A(x).double(), A.T(y).double()
    gap = (forward * y).sum() - (x * back).sum()
    return float(gap.abs() / (forward.norm() * y.double().norm()))


def _rho(f: Reconstructor, y: Tensor, x: Tensor, attack: ProjectedGradientAscent) -> float:
    return float(squared_error(f, y + attack(f, y, x), x).double().mean())

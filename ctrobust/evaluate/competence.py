"""Was the attack any good? Checks that travel with every curve."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ctrobust.core.seeds import derive_seed
from ctrobust.operators import Projector
from ctrobust.threat import ProjectedGradientAscent
from ctrobust.threat.ascent import GRADIENT_TOLERANCE, Reconstructor, gradient_gap, squared_error

Check = dict[str, Any]

ADJOINT_TOLERANCE = 1e-6
CONVERGENCE_TOLERANCE = 0.02


def attack_checks(
    f: Reconstructor, A: Projector, y: Tensor, x: Tensor, attack: ProjectedGradientAscent
) -> dict[str, Check]:
    """Adjoint gap of the operator, finite-difference gap of the gradient, gain from doubling the steps."""
    measured: dict[str, tuple[Callable[[], float], float, str]] = {
        "adjoint": (
            lambda: adjoint_gap(A, attack.seed),
            ADJOINT_TOLERANCE,
            "|⟨Ax, y⟩ − ⟨x, Aᵀy⟩| / (‖Ax‖ ‖y‖) of the operator the gradients went through",
        ),
        "gradient": (
            lambda: gradient_gap(f, y, x),
            GRADIENT_TOLERANCE,
            "relative difference between the slopes the gradient through f promises and central differences",
        ),
        "convergence": (
            lambda: doubling_gain(f, y, x, attack),
            CONVERGENCE_TOLERANCE,
            f"relative change of ρ̂ at ε = {attack.budget.eps:g} when the attack's steps are doubled, "
            f"on {len(y)} slices",
        ),
    }
    checks = {}
    for name, (value_of, limit, what) in measured.items():
        value = value_of()
        checks[name] = {"value": value, "limit": limit, "ok": bool(value < limit), "what": what}
    return checks


@torch.no_grad()
def adjoint_gap(A: Projector, seed: int) -> float:
    """|⟨Ax, y⟩ − ⟨x, Aᵀy⟩| / (‖Ax‖ ‖y‖) for random x and y; sums in float64."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "adjoint"))
    x = torch.randn(1, 1, *A.image_shape, generator=generator).to(A.device)
    y = torch.randn(1, 1, *A.sinogram_shape, generator=generator).to(A.device)
    forward, back = A(x).double(), A.T(y).double()
    gap = (forward * y).sum() - (x * back).sum()
    return float(gap.abs() / (forward.norm() * y.double().norm()))


def doubling_gain(f: Reconstructor, y: Tensor, x: Tensor, attack: ProjectedGradientAscent) -> float:
    """|ρ̂ with twice the steps − ρ̂| / ρ̂."""
    once, twice = (
        float(squared_error(f, y + each(f, y, x), x).double().mean())
        for each in (attack, replace(attack, steps=2 * attack.steps))
    )
    return abs(twice - once) / once

"""One direction for a set: as bad as any can be for a linear f, and the same for samples not in the set."""

import math

import numpy as np
import torch
from torch import Tensor

from ctrobust.core.geometry import ParallelBeam
from ctrobust.networks import FBPConvNet
from ctrobust.operators import Projector
from ctrobust.reconstruct import FilteredBackProjection, LearnedReconstructor
from ctrobust.theory import worst_perturbation
from ctrobust.threat import L2Ball, Linf, ProjectedGradientAscent, Whitened
from ctrobust.threat.ascent import squared_error
from ctrobust.threat.universal import BATCH_SIZE, Universal

A = Projector(ParallelBeam(16, 6, pixel_mm=10.0), "matrix")
FBP = FilteredBackProjection(A)


def pair(count: int) -> tuple[Tensor, Tensor]:
    x = torch.rand(count, 1, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x *= torch.linspace(0.5, 2, count)[:, None, None, None]
    return A(x), x


def test_it_reaches_the_exact_worst_direction_for_fbp() -> None:
    """Σ ‖rᵢ F u + eᵢ‖² over ‖u‖ ≤ 1 is one trust-region problem: its blocks rᵢ F stacked."""
    y, x = pair(4)
    budget = L2Ball(0.02)
    delta = Universal(ProjectedGradientAscent(budget))(FBP, y, x)
    count = math.prod(A.sinogram_shape)
    F = FBP(torch.eye(count, dtype=torch.float64).reshape(count, 1, *A.sinogram_shape)).reshape(count, -1).T
    residual = (FBP(y) - x).flatten().numpy()
    stacked = np.concatenate([float(r) * F.numpy() for r in budget.radius(y)])
    worst = worst_perturbation(stacked, residual, 1.0)
    exact, clean = np.sum((stacked @ worst + residual) ** 2), np.sum(residual**2)
    found = float(squared_error(FBP, y + delta, x).sum())
    assert 0.99 <= (found - clean) / (exact - clean) <= 1 + 1e-9


def test_all_samples_share_a_direction_and_each_has_its_own_size() -> None:
    y, x = pair(4)
    for budget in (L2Ball(0.02), Linf(0.02), Whitened(5.0, 1e5)):
        universal = Universal(ProjectedGradientAscent(budget, steps=3))
        delta = universal(FBP, y, x)
        unit = delta / delta.flatten(1).norm(dim=1)[:, None, None, None]
        torch.testing.assert_close(unit, unit[:1].expand_as(unit))
        torch.testing.assert_close(budget.size(delta, y), torch.full((4,), budget.eps, dtype=torch.float64))
    delta = Universal(ProjectedGradientAscent(L2Ball(9.0, relative=False), steps=3))(FBP, y, x)
    torch.testing.assert_close(delta, delta[:1].expand_as(delta))


def test_found_on_one_set_it_serves_another() -> None:
    y, x = pair(6)
    budget = L2Ball(0.02)
    universal = Universal(ProjectedGradientAscent(budget))
    delta = universal.apply(universal.direction(FBP, y[:3], x[:3]), y[3:])
    assert (budget.size(delta, y[3:]) <= 0.02).all()
    found, chance = (squared_error(FBP, y[3:] + d, x[3:]) for d in (delta, budget.random(y[3:], 0)))
    assert (found > chance).all()


def test_a_large_set_goes_through_f_in_parts_and_finds_the_same() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        f = LearnedReconstructor(A, FBPConvNet(4, 3)).double().eval()
    seen: list[int] = []

    def watched(y: Tensor) -> Tensor:
        seen.append(len(y))
        return f(y)

    y, x = pair(BATCH_SIZE + 2)
    attack = ProjectedGradientAscent(L2Ball(0.02), steps=3, restarts=1, allow_unmatched=True)
    in_parts = Universal(attack)(watched, y, x)
    assert set(seen[1:]) == {BATCH_SIZE, 2}

    def whole(moved: Tensor) -> Tensor:
        u = moved - centre
        lengths = L2Ball(0.02).radius(y) / u.detach().norm().clamp_min(1e-30)
        return f(y + u * lengths[:, None, None, None]).unsqueeze(0)

    centre = y.mean(0, keepdim=True)
    u = attack(whole, centre, x.unsqueeze(0))
    torch.testing.assert_close(in_parts, L2Ball(0.02).rescale(u.expand_as(y), y), rtol=1e-6, atol=1e-9)

"""The worst case of a linear f from products alone, against the dense solution; its certificate against the truth."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ctrobust.bounds import worst_case_of_linear
from ctrobust.bounds.jacobian import Jacobian, linearity_gap
from ctrobust.bounds.linear import _bound
from ctrobust.core.errors import UserError
from ctrobust.core.geometry import FanBeam, ParallelBeam
from ctrobust.operators import Projector
from ctrobust.reconstruct import FilteredBackProjection, cgls, sirt
from ctrobust.theory import worst_perturbation
from ctrobust.threat import L2Ball, ProjectedGradientAscent

A = Projector(ParallelBeam(12, 7, pixel_mm=2.0))


class Affine:
    """y ↦ F y + c for matrices given whole: (B, 1, 1, m) → (B, 1, 1, n)."""

    def __init__(self, F: Tensor, c: Tensor | float = 0.0) -> None:
        self.F, self.c = F, c

    def __call__(self, y: Tensor) -> Tensor:
        return y @ self.F.T + self.c


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dense(f: object, y: Tensor, x: Tensor, radius: Tensor) -> Tensor:
    """(B,) the exact maxima, from f's matrix."""
    units = torch.eye(y[0].numel(), dtype=y.dtype).reshape(-1, *y.shape[1:])
    F = (f(units) - f(torch.zeros_like(y[:1]))).flatten(1).T.numpy()  # type: ignore[operator]
    r = (f(y) - x).flatten(1).numpy()  # type: ignore[operator]
    pairs = zip(r, radius.tolist(), strict=True)
    return torch.tensor([np.sum((F @ worst_perturbation(F, r, ρ) + r) ** 2) for r, ρ in pairs])


def scanned(seed: int = 1) -> tuple[Tensor, Tensor]:
    x = torch.rand(3, 1, 12, 12, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return A(x), x


@pytest.mark.parametrize("eps", [1e-3, 0.1])
@pytest.mark.parametrize("name", ["fbp", "hann", "fan", "sirt"])
def test_found_and_bound_are_the_dense_solution(name: str, eps: float) -> None:
    scan = Projector(FanBeam(12, 7, source_to_iso_mm=60, iso_to_detector_mm=60)) if name == "fan" else A
    f = {
        "fbp": FilteredBackProjection(scan),
        "hann": FilteredBackProjection(scan, "hann"),
        "fan": FilteredBackProjection(scan),
        "sirt": lambda y: sirt(scan, y, iterations=5, tolerance=0).x,
    }[name]
    x = scanned()[1]
    y, budget = scan(x), L2Ball(eps)
    worst = worst_case_of_linear(f, y, x, budget, tolerance=1e-7)
    truth = dense(f, y, x, budget.radius(y))
    torch.testing.assert_close(worst.found, truth, rtol=1e-8, atol=0)
    torch.testing.assert_close(worst.upper, truth, rtol=1e-7, atol=0)
    assert (worst.upper >= truth * (1 - 1e-13)).all()
    assert (budget.size(worst.delta, y) <= eps).all()
    torch.testing.assert_close((f(y + worst.delta) - x).square().flatten(1).sum(1), worst.found)


@given(
    st.integers(1, 12),
    st.integers(2, 12),
    st.integers(0, 2**31),
    st.sampled_from([1e-3, 0.1, 1.0, 30.0]),
    st.booleans(),
)
@settings(max_examples=12, deadline=None)
def test_any_affine_f(rows: int, columns: int, seed: int, radius: float, tied: bool) -> None:
    """Of any shape, rank-deficient or with tied singular values; c is part of f."""
    F, c = drawn(rows, columns, seed=seed), drawn(rows, seed=seed + 1)
    if tied:
        U, S, V = torch.linalg.svd(F, full_matrices=False)
        F = U @ torch.diag(torch.where(torch.arange(len(S)) < 2, S[0], S)) @ V
    f, y, x = Affine(F, c), drawn(2, 1, 1, columns, seed=seed + 2), drawn(2, 1, 1, rows, seed=seed + 3)
    budget = L2Ball(radius, relative=False)
    worst = worst_case_of_linear(f, y, x, budget, tolerance=1e-6)
    truth = dense(f, y, x, budget.radius(y))
    torch.testing.assert_close(worst.found, truth, rtol=1e-8, atol=1e-12)
    assert (worst.upper >= truth * (1 - 1e-12)).all()
    assert (worst.gap <= 1e-6).all()


@pytest.mark.parametrize("radius", [0.05, 2.0])
def test_the_hard_case(radius: float) -> None:
    """Fᵀr has no part along the top, and its Krylov space never will."""
    S = torch.linspace(3, 0.1, 40, dtype=torch.float64)
    F, x = torch.diag(S), torch.zeros(1, 1, 1, 40, dtype=torch.float64)
    y = torch.zeros_like(x)
    c = torch.where(torch.arange(40) == 0, 0, 0.1)
    budget = L2Ball(radius, relative=False)
    worst = worst_case_of_linear(Affine(F, c), y, x, budget, tolerance=1e-7)
    truth = dense(Affine(F, c), y, x, budget.radius(y))
    torch.testing.assert_close(worst.found, truth, rtol=1e-8, atol=0)
    assert (worst.gap <= 1e-7).all()
    assert (abs(float(worst.delta[0, 0, 0, 0])) > 1) == (radius > 1)


def test_the_hard_case_of_a_symmetric_object() -> None:
    """A centred disc: what its residual spans is symmetric, the worst δ need not be."""
    at = torch.arange(12, dtype=torch.float64) - 5.5
    x = (at[:, None].square() + at.square() < 17).double()[None, None]
    y, f, budget = A(x), FilteredBackProjection(A), L2Ball(0.2)
    worst = worst_case_of_linear(f, y, x, budget, tolerance=1e-7)
    torch.testing.assert_close(worst.found, dense(f, y, x, budget.radius(y)), rtol=1e-8, atol=0)


def test_what_has_not_settled_is_not_shared() -> None:
    """Half the spectrum is unsettled when the norm is known; held fast, it would keep the samples from converging."""
    f = Affine(torch.diag(torch.linspace(0, 1, 400, dtype=torch.float64)), drawn(400))
    y = drawn(2, 1, 1, 400, seed=1)
    worst = worst_case_of_linear(f, y, 0 * y, L2Ball(0.5), tolerance=1e-5, steps=200)
    assert (worst.gap <= 1e-5).all()
    torch.testing.assert_close(worst.found, dense(f, y, 0 * y, L2Ball(0.5).radius(y)), rtol=1e-6, atol=0)


def test_few_steps_leave_a_gap_that_holds_the_truth() -> None:
    """What has not converged is still a bracket."""
    y, x = scanned()
    f, budget = FilteredBackProjection(A), L2Ball(0.05)
    truth = dense(f, y, x, budget.radius(y))
    before = torch.full_like(truth, float("inf"))
    for steps in (2, 6, 32):
        worst = worst_case_of_linear(f, y, x, budget, tolerance=1e-9, steps=steps)
        assert (worst.found <= truth * (1 + 1e-12)).all()
        assert (worst.upper >= truth * (1 - 1e-12)).all()
        assert (worst.gap <= before).all()
        before = worst.gap
    assert (before < 1e-3).all()


def test_every_perturbation_bounds_the_maximum() -> None:
    """Also one that is short of the sphere, or points nowhere in particular."""
    F, r, ρ = drawn(6, 5), drawn(1, 1, 1, 6, seed=1), torch.tensor([0.8], dtype=torch.float64)
    top = float(torch.linalg.matrix_norm(F, 2)) ** 2
    truth = dense(Affine(F, r), torch.zeros(1, 1, 1, 5, dtype=torch.float64), 0 * r, ρ)
    best = torch.from_numpy(worst_perturbation(F.numpy(), r.flatten().numpy(), 0.8)).reshape(1, 1, 1, 5)
    for share in (1.0, 0.9, 0.5, 0.01):
        for direction in (best, *(drawn(1, 1, 1, 5, seed=seed) for seed in range(9))):
            delta = share * 0.8 * direction / direction.norm()
            image = delta @ F.T + r
            upper = _bound(image.square().sum()[None], image @ F, delta, ρ, top)
            assert (upper >= truth * (1 - 1e-12)).all()


def test_more_room_is_worse_and_no_attack_is_above() -> None:
    y, x = scanned()
    f, last = FilteredBackProjection(A), torch.zeros(3, dtype=torch.float64)
    for eps in (0.0, 0.005, 0.02, 0.08):
        worst = worst_case_of_linear(f, y, x, L2Ball(eps), tolerance=1e-5)
        assert (worst.found > last).all()
        last = worst.found
    attack = ProjectedGradientAscent(L2Ball(0.08), steps=20, restarts=1)
    attacked = (f(y + attack(f, y, x)) - x).square().flatten(1).sum(1)
    assert (attacked <= worst.upper).all()
    assert (attacked > 0.95 * worst.found).all()


def test_nothing_to_find() -> None:
    """No radius, no residual, no f: 0 stays 0, and a perfect clean image is attacked along the top."""
    y = drawn(1, 1, 1, 6)
    f = Affine(torch.diag(torch.tensor([1.0, 5, 2, 3, 4, 1], dtype=torch.float64)))
    worst = worst_case_of_linear(f, y, f(y), L2Ball(0.0))
    assert not worst.delta.any()
    torch.testing.assert_close(worst.upper, worst.clean)
    worst = worst_case_of_linear(f, y, f(y), L2Ball(2.0, relative=False))
    torch.testing.assert_close(worst.found, torch.tensor([100.0], dtype=torch.float64))
    worst = worst_case_of_linear(Affine(0 * f.F), y, f(y), L2Ball(2.0, relative=False))
    torch.testing.assert_close(worst.upper, worst.clean)


def test_float32_gives_five_digits() -> None:
    y, x = scanned()
    f, budget = FilteredBackProjection(A), L2Ball(0.02)
    worst = worst_case_of_linear(f, y.float(), x.float(), budget)
    truth = dense(f, y, x, budget.radius(y))
    torch.testing.assert_close(worst.found, truth, rtol=1e-5, atol=0)
    assert (worst.gap <= 1e-3).all()


@pytest.mark.parametrize("name", ["cgls", "nonnegative", "network", "square"])
def test_what_is_not_linear_is_refused(name: str) -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 1, 3)
    ).double()
    f = {
        "cgls": lambda y: cgls(A, y, iterations=4, tolerance=0).x,
        "nonnegative": lambda y: sirt(A, y, iterations=4, tolerance=0, nonnegative=True).x,
        "network": lambda y: network(A.fbp(y)),
        "square": lambda y: A.fbp(y + 1e-9 * y.square()),
    }[name]
    y, _ = scanned()
    assert linearity_gap(f, y) > 1e-11
    with pytest.raises(UserError, match="not linear"):
        worst_case_of_linear(f, y, f(y), L2Ball(0.1))


def test_a_gradient_that_is_not_the_transpose_is_refused() -> None:
    class Sloppy(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, y: Tensor) -> Tensor:
            return A.fbp(y)

        @staticmethod
        def backward(ctx: object, u: Tensor) -> Tensor:
            return A(u)

    y, x = scanned()
    with pytest.raises(UserError, match="not its transpose"):
        worst_case_of_linear(Sloppy.apply, y, x, L2Ball(0.1))
    with pytest.raises(UserError, match="no gradient"):
        Jacobian(torch.no_grad()(A.fbp), y)

"""SIRT, CGLS and TV against what they converge to, by other people's solvers where there are any."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.restoration import denoise_tv_chambolle
from torch import Tensor

from ctrobust.core.geometry import FanBeam, ParallelBeam
from ctrobust.operators import Projector
from ctrobust.operators.dense import DenseOperator
from ctrobust.operators.sensing import gaussian
from ctrobust.reconstruct.cgls import cgls
from ctrobust.reconstruct.sirt import sirt
from ctrobust.reconstruct.total_variation import (
    divergence,
    gradient,
    operator_norm,
    total_variation,
    variation,
)

METHODS = {
    "sirt": lambda A, y, **rest: sirt(A, y, **rest),
    "cgls": lambda A, y, **rest: cgls(A, y, **rest),
    "tv": lambda A, y, **rest: total_variation(A, y, weight=0.3, **rest),
}


class Identity:
    def __call__(self, x: Tensor) -> Tensor:
        return x

    def T(self, y: Tensor) -> Tensor:
        return y


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def A() -> Projector:
    return Projector(ParallelBeam(12, 16, pixel_mm=0.7))


def dense(A: Projector) -> np.ndarray:
    """A as a matrix, column by column."""
    units = torch.eye(144, dtype=torch.float64).reshape(144, 1, 12, 12)
    return A(units).reshape(144, -1).T.numpy()


def test_cgls_is_least_squares_of_least_norm(A: Projector) -> None:
    for operator, y in (
        (A, images(2, 1, *A.sinogram_shape)),
        (gaussian(30, 12, seed=0), images(2, 1, 1, 30)),
    ):
        M = dense(A) if operator is A else operator.matrix.numpy()
        found = cgls(operator, y, iterations=1000, tolerance=0)
        expected = np.linalg.lstsq(M, y.reshape(2, -1).T.numpy(), rcond=None)[0].T
        np.testing.assert_allclose(found.x.reshape(2, -1).numpy(), expected, atol=1e-7)
        assert found.converged.all()


def test_cgls_after_k_steps_is_the_best_of_its_krylov_space(A: Projector) -> None:
    y, M = images(1, 1, *A.sinogram_shape), dense(A)
    space = [M.T @ y.reshape(-1).numpy()]
    for _ in range(4):
        space.append(M.T @ (M @ space[-1]))
    basis = np.linalg.qr(np.stack(space, 1))[0]
    best = basis @ np.linalg.lstsq(M @ basis, y.reshape(-1).numpy(), rcond=None)[0]
    found = cgls(A, y, iterations=5, tolerance=0)
    np.testing.assert_allclose(found.x.reshape(-1).numpy(), best, atol=1e-9)


def test_sirt_goes_to_weighted_least_squares() -> None:
    M = torch.eye(12, dtype=torch.float64).repeat(3, 1) + 0.3 * images(36, 12)
    y = images(2, 1, 1, 36)
    found = sirt(DenseOperator(M, (3, 4)), y, iterations=3000, tolerance=0, relaxation=1.9)
    root = (1 / M.sum(1).sqrt())[:, None].numpy()
    expected = np.linalg.lstsq(root * M.numpy(), root * y.reshape(2, -1).T.numpy(), rcond=None)[0].T
    np.testing.assert_allclose(found.x.reshape(2, -1).numpy(), expected, atol=1e-9)


def test_misfit_falls_at_every_step(A: Projector) -> None:
    y = images(2, 1, *A.sinogram_shape)
    residuals = cgls(A, y, iterations=40, tolerance=0).residuals
    assert (residuals.diff(dim=1) <= 1e-9).all()
    rows = A(torch.ones(1, 1, 12, 12, dtype=torch.float64))
    steps = [sirt(A, y, iterations=k, tolerance=0).x for k in (1, 2, 5, 20, 60)]
    weighted = [float(((A(x) - y).square() * torch.where(rows > 0, 1 / rows, 0)).sum()) for x in steps]
    assert weighted == sorted(weighted, reverse=True)


def test_the_residuals_are_what_they_say(A: Projector) -> None:
    y = images(2, 1, *A.sinogram_shape)
    for method in METHODS.values():
        found = method(A, y, iterations=30, tolerance=0)
        assert found.residuals.shape == (2, 30)
        true = (A(found.x) - y).flatten(1).norm(dim=1)
        torch.testing.assert_close(found.residuals[:, -1], true, rtol=1e-9, atol=1e-9)
        assert found.iterations.tolist() == [30, 30]
        assert not found.converged.any()


@pytest.mark.parametrize("weight", [0.02, 0.2])
def test_tv_denoises_as_scikit_image(weight: float) -> None:
    """The same objective, ours at least as low."""
    noisy = images(1, 1, 24, 20)
    noisy[..., 5:15, 4:12] += 1
    theirs = denoise_tv_chambolle(noisy[0, 0].numpy(), weight=weight, eps=1e-12, max_num_iter=20000)
    ours = total_variation(Identity(), noisy, weight=weight, iterations=4000, tolerance=1e-8)
    x = torch.from_numpy(theirs)[None, None]
    objective = 0.5 * (x - noisy).square().sum() + weight * variation(x).sum()
    assert float(ours.objective) <= float(objective) * (1 + 1e-6)
    assert float((ours.x - x).abs().max()) < 1e-2


@pytest.mark.parametrize("nonnegative", [False, True])
def test_tv_closes_its_gap(A: Projector, nonnegative: bool) -> None:
    """And what the gap promises holds: nobody finds a lower objective, a longer run included."""
    x = images(2, 1, 12, 12) - (0.3 if nonnegative else 0)
    y = A(x) + 0.1 * images(2, 1, *A.sinogram_shape, seed=1)
    rough = total_variation(A, y, weight=0.5, iterations=3000, tolerance=1e-2, nonnegative=nonnegative)
    fine = total_variation(A, y, weight=0.5, iterations=20000, tolerance=1e-7, nonnegative=nonnegative)
    assert rough.converged.all()
    assert fine.converged.all()
    assert (fine.gap >= -1e-9).all()
    assert (rough.objective - fine.objective >= -1e-6 * fine.objective).all()
    assert (rough.objective - fine.objective <= rough.gap + 1e-9).all()
    assert rough.iterations.max() < fine.iterations.max()
    if nonnegative:
        assert fine.x.min() >= 0
        plain = total_variation(A, y, weight=0.5, iterations=20000, tolerance=1e-7)
        assert (plain.objective < fine.objective).all()


@pytest.mark.parametrize("nonnegative", [False, True])
def test_tv_does_not_stop_before_it_is_there(nonnegative: bool) -> None:
    """A disc of ones on zero, with little weight: the first steps overshoot and come back."""
    disc = (images(1, 1, 1, 1) * 0 + 1).expand(1, 1, 24, 24).clone()
    v, u = np.mgrid[:24, :24]
    disc[0, 0][torch.from_numpy(np.hypot(u - 11.5, v - 11.5) > 8)] = 0
    A = Projector(ParallelBeam(24, 30))
    y = A(disc)
    found = total_variation(A, y, weight=0.3, iterations=2000, tolerance=1e-2, nonnegative=nonnegative)
    best = total_variation(A, y, weight=0.3, iterations=2000, tolerance=0, nonnegative=nonnegative)
    assert found.converged.all()
    assert float(found.objective) <= 1.01 * float(best.objective)


def test_tv_scales_with_its_units(A: Projector) -> None:
    y = images(1, 1, *A.sinogram_shape)
    once = total_variation(A, y, weight=0.3, iterations=100, tolerance=0).x
    scaled = total_variation(A, 7 * y, weight=2.1, iterations=100, tolerance=0).x
    torch.testing.assert_close(scaled, 7 * once)


def test_the_divergence_is_the_gradients_transpose() -> None:
    x, q = images(2, 1, 5, 7), images(2, 1, 5, 7, 2)
    torch.testing.assert_close((gradient(x) * q).sum(), (x * divergence(q)).sum())
    stack = gradient(torch.eye(35, dtype=torch.float64).reshape(35, 1, 5, 7)).reshape(35, -1)
    assert torch.linalg.matrix_norm(stack, 2) ** 2 <= 8


def test_the_norm_is_a_bound(A: Projector) -> None:
    exact = np.linalg.norm(dense(A), 2)
    assert exact <= operator_norm(A, images(1, 1, 12, 12)) <= 1.05 * exact


@pytest.mark.parametrize("name", list(METHODS))
def test_a_batch_is_its_samples(A: Projector, name: str) -> None:
    """Though they stop at different times."""
    easy, hard = A(images(1, 1, 12, 12)), images(1, 1, *A.sinogram_shape, seed=3)
    y = torch.cat([easy, 5 * hard, torch.zeros_like(easy)])
    together = METHODS[name](A, y, iterations=400, tolerance=1e-3)
    alone = [METHODS[name](A, each[None], iterations=400, tolerance=1e-3) for each in y]
    assert together.iterations.tolist() == [int(each.iterations) for each in alone]
    torch.testing.assert_close(together.x, torch.cat([each.x for each in alone]), rtol=1e-7, atol=1e-9)
    assert len(set(together.iterations.tolist())) > 1
    assert torch.isfinite(together.x).all()
    assert together.x[2].abs().max() == 0


@pytest.mark.parametrize("name", ["sirt", "cgls"])
def test_stops_where_the_noise_begins(A: Projector, name: str) -> None:
    y = A(images(2, 1, 12, 12))
    found = METHODS[name](A, y, iterations=500, tolerance=0, misfit=0.05)
    assert found.converged.all()
    last = found.residuals[:, -1] / y.flatten(1).norm(dim=1)
    assert (last <= 0.05).all()
    steps = int(found.iterations.min())
    assert METHODS[name](A, y, iterations=steps - 1, tolerance=0, misfit=0.05).converged.sum() == 0


@pytest.mark.parametrize("name", list(METHODS))
def test_gradients_go_through_the_iterations(A: Projector, name: str) -> None:
    y = A(images(1, 1, 12, 12)).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda y: METHODS[name](A, y, iterations=4, tolerance=0).x, y, fast_mode=True, atol=1e-5, rtol=1e-4
    )


def test_sirt_is_linear_in_y_and_keeps_its_bounds(A: Projector) -> None:
    y = images(2, 1, *A.sinogram_shape)

    def f(y: Tensor) -> Tensor:
        return sirt(A, y, iterations=20, tolerance=0).x

    torch.testing.assert_close(f(2 * y[:1] - 3 * y[1:]), 2 * f(y[:1]) - 3 * f(y[1:]))
    bounded = sirt(A, -y, iterations=20, nonnegative=True).x
    assert bounded.min() >= 0


def test_what_no_ray_meets_stays(A: Projector) -> None:
    narrow = Projector(ParallelBeam(12, [0.0, 1.5], bins=3))
    y = narrow(images(1, 1, 12, 12))
    start = images(1, 1, 12, 12, seed=5)
    unseen = narrow.T(torch.ones_like(y)) == 0
    assert unseen.any()
    assert torch.equal(sirt(narrow, y, start=start).x[unseen], start[unseen])


@settings(max_examples=10, deadline=None)
@given(st.integers(6, 16), st.integers(3, 12), st.booleans())
def test_finds_the_image_behind_exact_data(size: int, views: int, fan: bool) -> None:
    """Up to what the views do not see."""
    g = FanBeam(size, views, source_to_iso_mm=40, iso_to_detector_mm=20) if fan else ParallelBeam(size, views)
    A = Projector(g)
    y = A(images(1, 1, size, size))
    found = cgls(A, y, iterations=500, tolerance=0)
    assert float(found.residuals[0, -1] / y.norm()) < 1e-4


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda A, y: sirt(A, y, relaxation=2.0), "between 0 and 2"),
        (lambda A, y: sirt(A, y, iterations=0), "iterations 0"),
        (lambda A, y: cgls(A, y, tolerance=-1.0), "tolerance -1.0"),
        (lambda A, y: cgls(A, y, misfit=float("nan")), "misfit nan"),
        (lambda A, y: total_variation(A, y, weight=-1.0), "neither may be negative"),
        (lambda A, y: cgls(A, y[..., 1:]), "give \\(batch, 1"),
    ],
)
def test_refuses(A: Projector, call, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call(A, torch.ones(1, 1, *A.sinogram_shape))

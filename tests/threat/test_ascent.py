"""The attack is competent: nearly exact where the exact worst case is known, and it refuses bad gradients."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch

from ctrobust.core.errors import UserError
from ctrobust.core.geometry import ParallelBeam
from ctrobust.operators import Projector
from ctrobust.reconstruct import FilteredBackProjection
from ctrobust.theory import worst_perturbation
from ctrobust.threat import L2Ball, ProjectedGradientAscent
from ctrobust.threat.ascent import error_and_gradient, gradient_gap, squared_error


def smooth_images(count: int, size: int) -> torch.Tensor:
    coarse = torch.rand(count, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")


@cache
def fbp_in_its_row_space(views: int, window: str) -> tuple[FilteredBackProjection, np.ndarray, np.ndarray]:
    """f, its matrix F, and Q whose columns span F's rows: a worst δ lies there, where there are far fewer readings."""
    A = Projector(ParallelBeam(32, views, pixel_mm=2.8), "matrix")
    f, count = FilteredBackProjection(A, window), views * A.sinogram_shape[1]
    units = torch.eye(count, dtype=torch.float64).reshape(count, 1, *A.sinogram_shape)
    F = f(units).reshape(count, -1).T.numpy()
    return f, F, np.linalg.qr(F.T)[0] if count > F.shape[0] else np.eye(count)


@pytest.mark.parametrize(("views", "window"), [(36, "ram-lak"), (24, "hann"), (60, "ram-lak")])
@pytest.mark.parametrize("eps", [0.005, 0.02, 0.1])
def test_reaches_the_exact_increase_for_fbp(views: int, window: str, eps: float) -> None:
    f, F, Q = fbp_in_its_row_space(views, window)
    x = smooth_images(2, 32)
    y = f.projector(x)
    delta = ProjectedGradientAscent(L2Ball(eps))(f, y, x)
    for i in range(len(y)):
        y0, x0 = y[i].double().numpy().ravel(), x[i].double().numpy().ravel()
        r = F @ y0 - x0
        worst = Q @ worst_perturbation(F @ Q, r, eps * float(np.linalg.norm(y0)))
        exact = np.sum((F @ worst + r) ** 2)
        found = np.sum((F @ delta[i].double().numpy().ravel() + r) ** 2)
        clean = np.sum(r**2)
        share = (found - clean) / (exact - clean)
        assert 0.99 <= share <= 1 + 1e-9


def test_more_restarts_never_find_less() -> None:
    A = Projector(ParallelBeam(16, 9, pixel_mm=3.0))
    f, x = FilteredBackProjection(A), smooth_images(3, 16)
    y = A(x)
    errors = [
        squared_error(f, y + ProjectedGradientAscent(L2Ball(0.05), steps=4, restarts=n)(f, y, x), x)
        for n in (1, 2, 4)
    ]
    assert (errors[0] <= errors[1]).all()
    assert (errors[1] <= errors[2]).all()


def test_a_reconstruction_that_is_not_a_number_is_found() -> None:
    """Dividing by zero beyond a threshold must count as the worst, not be passed over."""
    y, x = torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)

    def brittle(y: torch.Tensor) -> torch.Tensor:
        return torch.where(y.sum() > 4.1, torch.full_like(y, float("nan")), y)

    attack = ProjectedGradientAscent(L2Ball(0.2), steps=10, restarts=1, allow_unmatched=True)
    assert squared_error(brittle, y + attack(brittle, y, x), x).isinf().all()


def test_no_budget_no_perturbation() -> None:
    A = Projector(ParallelBeam(16, 9))
    x = smooth_images(1, 16)
    delta = ProjectedGradientAscent(L2Ball(0.0))(FilteredBackProjection(A), A(x), x)
    assert torch.equal(delta, torch.zeros_like(delta))


def test_a_start_given_is_used() -> None:
    """One step from a good start must find at least what the start holds."""
    A = Projector(ParallelBeam(16, 9, pixel_mm=3.0))
    f, x = FilteredBackProjection(A), smooth_images(2, 16)
    y = A(x)
    good = ProjectedGradientAscent(L2Ball(0.04), steps=60)(f, y, x)
    few = ProjectedGradientAscent(L2Ball(0.04), steps=1, restarts=1)
    assert (
        squared_error(f, y + few(f, y, x, start=good), x) >= squared_error(f, y + good, x) * (1 - 1e-6)
    ).all()
    assert (squared_error(f, y + few(f, y, x), x) < squared_error(f, y + good, x)).all()


@dataclass
class Unmatched:
    """A reconstructor whose operator says that its transpose is not exact."""

    projector: Projector

    def __call__(self, y: torch.Tensor) -> torch.Tensor:
        return self.projector.fbp(y)


def test_an_unmatched_operator_is_refused_unless_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    A = Projector(ParallelBeam(16, 9))
    monkeypatch.setattr(type(A), "matched", False)
    f, x = Unmatched(A), smooth_images(1, 16)
    attack = ProjectedGradientAscent(L2Ball(0.02), steps=2)
    with pytest.raises(UserError, match="allow_unmatched=True"):
        attack(f, A(x), x)
    ProjectedGradientAscent(L2Ball(0.02), steps=2, allow_unmatched=True)(f, A(x), x)


class _WrongTranspose(torch.autograd.Function):
    @staticmethod
    def forward(ctx, y):
        return 2 * y

    @staticmethod
    def backward(ctx, gradient):
        return gradient * torch.linspace(0.5, 1.8, gradient.shape[-1])


def test_a_wrong_gradient_of_any_callable_is_noticed() -> None:
    """f without a projector is checked by finite differences."""
    y = torch.rand(1, 1, 6, 8, generator=torch.Generator().manual_seed(1))
    x = torch.zeros(1, 1, 6, 8)
    attack = ProjectedGradientAscent(L2Ball(0.02), steps=2)
    with pytest.raises(UserError, match="finite differences"):
        attack(_WrongTranspose.apply, y, x)
    for incomplete in (
        lambda y: torch.cat([y[..., :3, :], y[..., 3:, :].detach()], dim=-2),
        lambda y: y.round() + 0 * y,
    ):
        assert gradient_gap(incomplete, 3 * y, x) > 0.2
        with pytest.raises(UserError, match="finite differences"):
            attack(incomplete, 3 * y, x)
    assert gradient_gap(lambda y: 2 * y, y, x) < 1e-3
    attack(lambda y: 2 * y, y, x)


def test_gradient_is_that_of_the_squared_error() -> None:
    y = torch.rand(2, 1, 3, 4, dtype=torch.float64)
    x = torch.rand(2, 1, 3, 4, dtype=torch.float64)
    delta = torch.rand(2, 1, 3, 4, dtype=torch.float64)
    error, gradient = error_and_gradient(lambda y: y**2, y, x, delta)
    torch.testing.assert_close(error, ((y + delta) ** 2 - x).square().sum((1, 2, 3)))
    torch.testing.assert_close(gradient, 4 * ((y + delta) ** 2 - x) * (y + delta))

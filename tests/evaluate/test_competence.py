"""What is wrong on purpose is caught: each check by a setting that only it, or it first, must not let pass."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ctrobust.core.geometry import ParallelBeam
from ctrobust.evaluate.competence import attack_checks, competent, exactness
from ctrobust.evaluate.controls import Control
from ctrobust.evaluate.strength import strength_checks
from ctrobust.operators import Projector, sensing
from ctrobust.reconstruct import FilteredBackProjection
from ctrobust.reconstruct.learned import Operator
from ctrobust.threat import L2Ball, Linf, ProjectedGradientAscent, Whitened
from ctrobust.threat.ascent import squared_error
from ctrobust.threat.budget import Budget
from ctrobust.threat.rules import RULES, Move

Data = tuple[Projector, Tensor, Tensor]
GOOD = ProjectedGradientAscent(L2Ball(0.05), steps=20, restarts=1)


@pytest.fixture
def data() -> Data:
    A = Projector(ParallelBeam(16, 9, pixel_mm=10.0), "matrix")
    x = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    return A, A(x), x


def failed(checks: dict[str, dict[str, Any]]) -> set[str]:
    assert competent(checks) == all(check["ok"] for check in checks.values())
    return {name for name, check in checks.items() if not check["ok"]}


@pytest.mark.parametrize(
    "budget", [L2Ball(0.05), L2Ball(20.0, relative=False), Linf(0.01), Whitened(10.0, 1e5)]
)
def test_a_good_attack_passes(data: Data, budget: Budget) -> None:
    A, y, x = data
    checks = attack_checks(
        FilteredBackProjection(A, "hann"), A, y, x, ProjectedGradientAscent(budget, steps=40, restarts=1)
    )
    assert not failed(checks)
    # The exact worst case in a box is not known.
    assert ("exact" in checks) == (not isinstance(budget, Linf))


def test_two_steps_are_too_few(data: Data) -> None:
    A, y, x = data
    checks = attack_checks(
        FilteredBackProjection(A), A, y, x, ProjectedGradientAscent(L2Ball(0.05), steps=2, restarts=1)
    )
    assert {"convergence", "exact"} <= failed(checks)
    assert not competent(checks)


def test_an_ascent_that_stands_still_is_caught_by_the_second(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More steps find no more of it, so that it looks converged."""
    A, y, x = data
    monkeypatch.setitem(RULES, "momentum", lambda steps, reach: lambda error, slope, point: Move(-slope))
    assert {"second", "exact"} <= failed(attack_checks(FilteredBackProjection(A), A, y, x, GOOD))


@pytest.mark.parametrize(("more", "caught"), [(1.0, set()), (4.0, {"second"}), (-30.0, set())])
def test_what_a_second_attack_finds_more_is_held_against_the_first(more: float, caught: set[str]) -> None:
    """Over the slices together; that it finds less is no fault."""
    attack = ProjectedGradientAscent(L2Ball(0.05), steps=2, restarts=1)
    found = {key: [100.0, 50.0] for key in ("start 0", "start 1", "1 steps", "4 steps")}
    assert failed(strength_checks(found | {"second": [100.0 + more, 50.0]}, attack)) == caught


def wrong(A: Projector, monkeypatch: pytest.MonkeyPatch, change: Callable[[Tensor], Tensor]) -> None:
    exact = A._backend.adjoint
    monkeypatch.setattr(A._backend, "adjoint", lambda y: change(exact(y)))


def test_a_sign_flipped_in_the_adjoint_is_caught(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    A, y, x = data
    wrong(A, monkeypatch, torch.neg)
    assert {"adjoint", "gradient", "exact"} <= failed(attack_checks(FilteredBackProjection(A), A, y, x, GOOD))


def test_an_unmatched_operator_is_caught(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    """A back-projector that interpolates otherwise, as those of GPUs do; even one that claims to be matched."""
    A, y, x = data
    wrong(A, monkeypatch, lambda image: 0.9 * image + 0.1 * image.roll(1, -1))
    checks = attack_checks(FilteredBackProjection(A), A, y, x, GOOD)
    assert {"adjoint", "exact"} <= failed(checks)
    assert "not its transpose" in checks["exact"]["what"]


class Rugged:
    """FBP whose error has a hill beside a far higher one: which is climbed depends on the start."""

    def __init__(self, A: Projector, y: Tensor) -> None:
        self.fbp, self.y = FilteredBackProjection(A), y
        self.way = torch.randn(y.shape, generator=torch.Generator().manual_seed(5))

    def __call__(self, y: Tensor) -> Tensor:
        image = self.fbp(y)
        along = ((y - self.y[: len(y)]) * self.way[: len(y)]).flatten(1).sum(1)
        far = (along / self.y.norm() / self.way.norm() / 0.02).clamp(-1, 1)
        return image + 0.5 * (far * torch.where(far > 0, 2.0, 1.0))[:, None, None, None]


def test_an_attack_that_depends_on_its_start_is_caught(data: Data) -> None:
    A, y, x = data
    found = [
        attack_checks(
            Rugged(A, y),
            A,
            y,
            x,
            ProjectedGradientAscent(L2Ball(0.05), steps=10, restarts=1, seed=seed, allow_unmatched=True),
        )
        for seed in range(4)
    ]
    assert any("restarts" in failed(checks) for checks in found)


def test_a_gradient_that_lies_is_caught(data: Data) -> None:
    """f's gradient is masked: defence by obscurity."""
    A, y, x = data

    def f(y: Tensor) -> Tensor:
        image = A.fbp(y)
        return image.detach() + 0.3 * (image - image.detach()) * (torch.arange(16) % 2)

    assert "gradient" in failed(
        attack_checks(
            f, A, y, x, ProjectedGradientAscent(L2Ball(0.05), steps=20, restarts=1, allow_unmatched=True)
        )
    )


def linear(name: str, size: int, views: int) -> tuple[Operator, Callable[[Tensor], Tensor]]:
    """An f that is linear in y, and its operator."""
    if name == "pseudo-inverse":
        matrix = sensing.gaussian(size * size // 2, size, seed=0)
        return matrix, Control(matrix, name, {})
    A = Projector(ParallelBeam(size, views, pixel_mm=160 / size))
    settings = {"sirt": {"iterations": 5}, "ram-lak": {"window": "ram-lak"}, "hann": {"window": "hann"}}[name]
    return A, Control(A, "sirt" if name == "sirt" else "fbp", settings)


@pytest.mark.parametrize(
    ("name", "size", "views"),
    [
        *(("ram-lak", *scan) for scan in ((16, 9), (32, 12), (64, 18))),
        *((name, *scan) for name in ("hann", "sirt", "pseudo-inverse") for scan in ((16, 9), (32, 12))),
    ],
)
@pytest.mark.parametrize("eps", [0.002, 0.02, 0.1])
def test_ninety_nine_percent_of_the_exact_increase(name: str, size: int, views: int, eps: float) -> None:
    """Of f itself, and above it by rounding at most."""
    A, f = linear(name, size, views)
    x = torch.rand(1, 1, *A.image_shape, generator=torch.Generator().manual_seed(0))
    check = exactness(f, A, A(x), x, ProjectedGradientAscent(L2Ball(eps), steps=60, restarts=2))
    assert check is not None
    assert check["ok"], check
    assert "on f itself" in check["what"]
    assert check["value"] > -1e-4, "above the exact maximum by more than rounding"


class Missing(ProjectedGradientAscent):
    """Goes a tenth of its way: on a soft f no other check of one radius would tell."""

    def __call__(
        self, f: Callable[[Tensor], Tensor], y: Tensor, x: Tensor, start: Tensor | None = None
    ) -> Tensor:
        return 0.1 * super().__call__(f, y, x, start)


class Leaving(ProjectedGradientAscent):
    """Goes further than its budget lets it."""

    def __call__(
        self, f: Callable[[Tensor], Tensor], y: Tensor, x: Tensor, start: Tensor | None = None
    ) -> Tensor:
        return 1.1 * super().__call__(f, y, x, start)


@pytest.mark.parametrize(("kind", "sign"), [(Missing, 1), (Leaving, -1)])
def test_below_and_above_the_exact_maximum_fails(
    data: Data, kind: type[ProjectedGradientAscent], sign: int
) -> None:
    A, y, x = data
    check = exactness(FilteredBackProjection(A), A, y, x, kind(L2Ball(0.05), steps=40, restarts=1))
    assert check is not None
    assert not check["ok"]
    assert sign * check["value"] > 0.1
    assert ("above the maximum" in check["what"]) == (sign < 0)


def test_fbp_stands_in_where_f_has_no_exact_worst_case(data: Data) -> None:
    """One that is not linear, and a linear one that autograd can differentiate once."""
    A, y, x = data

    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, y: Tensor) -> Tensor:
            return A.fbp(y, "hann")

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, image: Tensor) -> Tensor:
            with torch.enable_grad():
                y = torch.zeros(len(image), 1, *A.sinogram_shape, requires_grad=True)
                (pulled,) = torch.autograd.grad(A.fbp(y, "hann"), y, image)
            return pulled

    for f in (Once.apply, lambda y: A.fbp(y).relu()):
        check = exactness(f, A, y, x, GOOD)
        assert check is not None
        assert "misses on FBP" in check["what"]
        assert check["ok"]


def test_what_steps_and_restarts_find_can_be_read(data: Data) -> None:
    """ρ̂ at half, once and twice the steps, and at 1 … R + 1 restarts, as the attacks of those settings find it."""
    A, y, x = data
    f = Rugged(A, y)
    attack = ProjectedGradientAscent(L2Ball(0.05), steps=8, restarts=2, allow_unmatched=True)
    checks = attack_checks(f, A, y, x, attack)

    def rho(**settings: int) -> float:
        return float(squared_error(f, y + replace(attack, **settings)(f, y, x), x).double().mean())

    assert checks["convergence"]["steps"] == [4, 8, 16]
    assert checks["convergence"]["rho"] == pytest.approx([rho(steps=n) for n in (4, 8, 16)], rel=1e-5)
    assert checks["restarts"]["restarts"] == [1, 2, 3]
    assert checks["restarts"]["rho"] == pytest.approx([rho(restarts=n) for n in (1, 2, 3)], rel=1e-5)
    assert checks["restarts"]["rho"] == sorted(checks["restarts"]["rho"])
    _, once, twice = checks["convergence"]["rho"]
    assert checks["convergence"]["value"] == pytest.approx(abs(twice - once) / once)


class Cliffs:
    """FBP up to a tenth of ‖y‖ from y; beyond, a hill beside a far higher one."""

    def __init__(self, A: Projector, y: Tensor) -> None:
        self.fbp, self.y = FilteredBackProjection(A), y
        self.way = torch.randn(y.shape[1:], generator=torch.Generator().manual_seed(7))

    def __call__(self, y: Tensor) -> Tensor:
        off = (y - self.y[: len(y)]).flatten(1) / self.y[: len(y)].flatten(1).norm(dim=1, keepdim=True)
        along = off @ self.way.flatten() / self.way.norm()
        far = (off.norm(dim=1) - 0.1).relu()
        return self.fbp(y) + (200 * far * torch.where(along > 0, 2.0, -1.0) * along)[:, None, None, None]


def test_an_attack_that_goes_astray_at_the_largest_radius_alone_is_caught(data: Data) -> None:
    A, y, x = data
    f, caught = Cliffs(A, y), set()
    for seed in range(3):
        attack = ProjectedGradientAscent(L2Ball(0.05), steps=20, restarts=1, seed=seed)
        checks = attack_checks(f, A, y, x, attack, largest=0.3)
        caught |= failed(checks)
        assert checks["restarts_at_largest"]["what"].endswith("at ε = 0.3, on 2 slices")
        assert not failed(attack_checks(f, A, y, x, attack, largest=0.05))
    assert caught
    assert caught <= {"convergence_at_largest", "restarts_at_largest", "second_at_largest"}

"""The rules of ascent: each step against its formula in float64, and all of them against the exact worst case."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ctrobust.core.geometry import ParallelBeam
from ctrobust.operators import Projector
from ctrobust.reconstruct import FilteredBackProjection
from ctrobust.theory import worst_perturbation
from ctrobust.threat import L2Ball, Linf, ProjectedGradientAscent, Whitened
from ctrobust.threat.ascent import squared_error
from ctrobust.threat.rules import RULES

A = Projector(ParallelBeam(16, 9, pixel_mm=10.0), "matrix")
FBP = FilteredBackProjection(A, "hann")


def pair() -> tuple[Tensor, Tensor]:
    x = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return A(x), x


def matrix() -> np.ndarray:
    count = math.prod(A.sinogram_shape)
    units = torch.eye(count, dtype=torch.float64).reshape(count, 1, *A.sinogram_shape)
    return FBP(units).reshape(count, -1).T.numpy()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("budget", [L2Ball(0.02), Whitened(8.0, 1e5)], ids=["L2", "whitened"])
def test_every_rule_reaches_the_exact_increase(rule: str, budget: L2Ball | Whitened) -> None:
    """In z = Σ^(−½) δ the whitened budget is a ball, and its exact worst case that of F Σ^½."""
    y, x = pair()
    delta = ProjectedGradientAscent(budget, rule=rule, restarts=1)(FBP, y, x)
    F = matrix()
    for i in range(len(y)):
        sigma = budget.sigma(y)[i].numpy().ravel() if isinstance(budget, Whitened) else np.ones(F.shape[1])
        r = F @ y[i].numpy().ravel() - x[i].numpy().ravel()
        worst = sigma * worst_perturbation(F * sigma, r, float(budget.radius(y)[i]))
        exact, found = (np.sum((F @ each + r) ** 2) for each in (worst, delta[i].numpy().ravel()))
        share = (found - np.sum(r**2)) / (exact - np.sum(r**2))
        assert 0.99 <= share <= 1 + 1e-9


def test_no_single_reading_can_be_turned_in_the_box_s_corner_found() -> None:
    """Linf: a vertex, from which no flip of one reading climbs (F linear: the error is convex, its maxima vertices)."""
    y, x = pair()
    budget = Linf(0.02)
    delta = ProjectedGradientAscent(budget)(FBP, y, x)
    F = matrix()
    for i in range(len(y)):
        d, radius = delta[i].numpy().ravel(), float(budget.radius(y)[i])
        e = F @ (y[i].numpy().ravel() + d) - x[i].numpy().ravel()
        matter = np.abs(F).sum(0) > 0
        assert (np.abs(d[matter]) > 0.999 * radius).all()
        gain = -4 * d * (F.T @ e) + 4 * d**2 * (F**2).sum(0)
        assert gain.max() <= 0.01 * np.sum(e**2)


def steps_of(rule: str, steps: int) -> list[Tensor]:
    """The points visited for f(y) = M y, from a start given, in a ball far too large to matter."""
    M = torch.linspace(0.5, 1.5, 12, dtype=torch.float64).reshape(3, 4)
    y = torch.ones(1, 1, 3, 4, dtype=torch.float64)
    ascent = ProjectedGradientAscent(L2Ball(1e6, relative=False), steps=steps, step=1e-7, rule=rule)
    start = torch.full_like(y, 0.25)
    return [delta.clone() for delta, _ in ascent._ascend(lambda y: M * y, y, 0 * y, start)]


def test_a_plain_step_is_the_formula() -> None:
    M = np.linspace(0.5, 1.5, 12).reshape(3, 4)
    delta, points = np.full((3, 4), 0.25), steps_of("plain", 5)
    for k, point in enumerate(points):
        np.testing.assert_allclose(point[0, 0], delta, rtol=1e-12)
        g = 2 * M**2 * (1 + delta)
        delta = delta + 0.1 * (0.01 + 0.99 * (1 + math.cos(math.pi * k / 5)) / 2) * g / np.linalg.norm(g)


def test_momentum_is_the_formula() -> None:
    """Here the error always rises, so that t counts the steps; m is in float32."""
    M = np.linspace(0.5, 1.5, 12).reshape(3, 4)
    delta = ahead = np.full((3, 4), 0.25)
    points = steps_of("momentum", 5)
    for k, point in enumerate(points[:-1]):
        np.testing.assert_allclose(point[0, 0], ahead, rtol=1e-7)
        g, t = 2 * M**2 * (1 + ahead), k + 1
        step = 0.1 * (0.01 + 0.99 * (1 + math.cos(math.pi * k / 5)) / 2) * g / np.linalg.norm(g)
        previous, delta = delta, ahead + step
        ahead = delta + t / (t + 3) * (delta - previous)
    np.testing.assert_allclose(points[-1][0, 0], delta, rtol=1e-7)


def test_adam_s_first_step_is_the_sign() -> None:
    """m̂/√v̂ = ±1 at first; the steps sum to what Kingma and Ba's Algorithm 1 gives for the same gradients."""
    first, second = steps_of("adam", 1)
    np.testing.assert_allclose((second - first)[0, 0], 0.1 * np.ones((3, 4)) / math.sqrt(12), rtol=1e-9)
    rule = RULES["adam"](3, lambda point, gradient: gradient)
    m = v = np.zeros((3, 4))
    for t in range(1, 4):
        g = np.random.default_rng(t).standard_normal((3, 4))
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        expected = m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-12)
        given = torch.from_numpy(g)[None, None]
        found = rule(torch.ones(1), given, torch.zeros_like(given)).climb
        np.testing.assert_allclose(found[0, 0], expected, rtol=1e-9)


def test_adam_on_the_gradient_itself_would_fall_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `rules.Adam` says of it, for the FBP it names; more steps do not help."""
    scanner = Projector(ParallelBeam(16, 6, pixel_mm=10.0), "matrix")
    f, x = FilteredBackProjection(scanner), pair()[1]
    y = scanner(x)
    monkeypatch.setitem(
        RULES, "raw", lambda steps, reach: RULES["adam"](steps, lambda point, gradient: gradient)
    )
    for steps in (100, 300):
        attacks = [
            ProjectedGradientAscent(L2Ball(0.02), steps=steps, restarts=1, rule=rule)
            for rule in ("momentum", "adam", "raw")
        ]
        best, adam, raw = (
            squared_error(f, y + attack(f, y, x), x) - squared_error(f, y, x) for attack in attacks
        )
        assert (adam > 0.999 * best).all()
        assert (raw < 0.75 * best).all()


def test_halving_halves_for_the_sample_that_fell() -> None:
    rule = RULES["halving"](9, lambda point, gradient: gradient)
    g = torch.ones(3, 1, 2, 2)
    shares = [
        torch.as_tensor(rule(torch.tensor(errors), g, g).share).flatten().tolist()
        for errors in ([1.0, 1.0, 1.0], [2.0, 0.5, 1.0], [1.0, 0.4, 2.0])
    ]
    assert shares == [[1, 1, 1], [1, 0.5, 1], [0.5, 0.25, 1]]


def test_a_rule_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="momentun"):
        ProjectedGradientAscent(L2Ball(0.1), rule="momentun")

"""The exact worst case of a linear f: optimality conditions, and nothing better by search."""

import numpy as np
import pytest

from ctrobust.theory import worst_perturbation


def value(F: np.ndarray, r: np.ndarray, delta: np.ndarray) -> float:
    return float(np.sum((F @ delta + r) ** 2))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5)])
@pytest.mark.parametrize("radius", [0.01, 1.0, 100.0])
def test_on_the_sphere_stationary_and_above_the_top_eigenvalue(
    seed: int, shape: tuple[int, int], radius: float
) -> None:
    rng = np.random.default_rng(seed)
    F, r = rng.normal(size=shape), rng.normal(size=shape[0])
    delta = worst_perturbation(F, r, radius)
    assert np.linalg.norm(delta) == pytest.approx(radius, rel=1e-9)
    slope = F.T @ (F @ delta + r)
    mu = slope @ delta / radius**2
    np.testing.assert_allclose(slope, mu * delta, atol=1e-7 * np.linalg.norm(slope))
    assert mu >= np.linalg.eigvalsh(F.T @ F)[-1] * (1 - 1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_no_point_of_a_dense_search_is_worse(seed: int) -> None:
    rng = np.random.default_rng(seed)
    F, r = rng.normal(size=(3, 2)), rng.normal(size=3)
    best = value(F, r, worst_perturbation(F, r, 0.7))
    angles = np.linspace(0, 2 * np.pi, 100_000)
    circle = 0.7 * np.stack([np.cos(angles), np.sin(angles)])
    searched = np.sum((F @ circle + r[:, None]) ** 2, axis=0).max()
    assert searched <= best * (1 + 1e-12)
    assert searched == pytest.approx(best, rel=1e-8)


@pytest.mark.parametrize("multiplicity", [1, 2])
def test_the_hard_case_is_filled_up_along_the_top(multiplicity: int) -> None:
    F = np.diag([3.0] * multiplicity + [1.0, 0.5])
    r = np.array([0.0] * multiplicity + [0.4, 0.2])
    delta = worst_perturbation(F, r, 2.0)
    short = F.T @ r / (9 - np.diag(F) ** 2 + 1e-300)
    assert np.linalg.norm(short) < 2
    np.testing.assert_allclose(delta[multiplicity:], short[multiplicity:], rtol=1e-9)
    assert np.linalg.norm(delta) == pytest.approx(2.0)


@pytest.mark.parametrize("radius", [1e-3, 0.01, 0.05])
def test_without_a_part_along_the_top_a_small_ball_does_not_need_it(radius: float) -> None:
    """F = diag(3, 1), r = (0, .4): while the second direction alone overfills the ball, μ stays above σ₁²."""
    F, r = np.diag([3.0, 1.0]), np.array([0.0, 0.4])
    delta = worst_perturbation(F, r, radius)
    angles = np.linspace(0, 2 * np.pi, 100_000)
    circle = radius * np.stack([np.cos(angles), np.sin(angles)])
    searched = np.sum((F @ circle + r[:, None]) ** 2, axis=0).max()
    assert value(F, r, delta) == pytest.approx(searched, rel=1e-8)
    assert np.linalg.norm(delta) == pytest.approx(radius)


def test_no_residual_means_the_top_singular_vector() -> None:
    F = np.diag([1.0, 4.0, 2.0])
    np.testing.assert_allclose(np.abs(worst_perturbation(F, np.zeros(3), 0.5)), [0, 0.5, 0], atol=1e-12)


def test_no_radius_leaves_nothing_to_move() -> None:
    np.testing.assert_array_equal(worst_perturbation(np.eye(3, 4), np.ones(3), 0.0), np.zeros(4))


@pytest.mark.parametrize("radius", [-1.0, np.nan, np.inf])
def test_a_bad_radius_is_refused(radius: float) -> None:
    with pytest.raises(ValueError, match="radius"):
        worst_perturbation(np.eye(3), np.ones(3), radius)

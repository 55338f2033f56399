"""The per-sample adversary: errors against the exact trust region, the optimal filter against all else there is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from ctrobust.theory import (
    gaussian_coefficients,
    objective,
    per_sample_errors,
    per_sample_filter,
    per_sample_objective,
    pseudo_inverse_filter,
    reconstruction_matrix,
    worst_perturbation,
)

SIX = (0.05, 0.1, 0.3, 0.6, 1.0, 2.0)

values = st.floats(1e-2, 1e1)
spectra = st.lists(st.one_of(values, st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=6)
amounts = st.floats(1e-2, 1e2)


def random_law(k: int, seed: int, count: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, k))


@given(spectra, st.integers(0, 99), amounts, st.sampled_from([0.0, 0.5, 1.0, 1.5]))
def test_errors_are_those_of_the_trust_region(S: list[float], seed: int, eps: float, stretch: float) -> None:
    """Also where gains invert exactly (the hard case), tie, or vanish."""
    rng = np.random.default_rng(seed)
    q = stretch * pseudo_inverse_filter(S) * rng.choice([1.0, 0.6, rng.random()], size=len(S))
    c = random_law(len(S), seed, 5)
    errors = per_sample_errors(S, q, eps, c)
    assert (errors >= per_sample_errors(S, q, 0, c)).all()
    for error, one in zip(errors, c, strict=True):
        residual = (q * S - 1) * one
        if q.any():
            delta = worst_perturbation(np.diag(q), residual, eps)
            assert error == pytest.approx(np.sum((q * delta + residual) ** 2), rel=1e-8)
        else:
            assert error == pytest.approx(np.sum(residual**2))


def test_known_optima() -> None:
    """Signs alone, and Gaussian x: what the law of x changes."""
    signs = per_sample_filter(SIX, 1, 1, np.ones((1, 6)))
    assert signs.gains[2:4] == pytest.approx([0.603, 0.905], abs=6e-4)
    gaussian = per_sample_filter(SIX, 1, 1, gaussian_coefficients(6, 2**11, 0))
    assert gaussian.gains == pytest.approx([0.13, 0.25, 0.643, 0.963, 1, 0.5], abs=4e-3)
    assert gaussian.gains[4:] == pytest.approx([1, 0.5], rel=1e-7)


def test_quasi_random_samples_do_for_the_law() -> None:
    several = [per_sample_filter(SIX, 1, 1, gaussian_coefficients(6, 2**10, seed)).gains for seed in range(3)]
    assert np.ptp(several, axis=0) == pytest.approx(np.zeros(6), abs=5e-3)
    assert np.square(gaussian_coefficients(6, 2**12, 5)).mean(0) == pytest.approx(np.ones(6), rel=1e-2)


@settings(deadline=None, max_examples=40)
@given(spectra, st.integers(0, 99), amounts, amounts, st.integers(1, 40))
def test_proved_and_nothing_else_is_better(
    S: list[float], seed: int, eps: float, weight: float, count: int
) -> None:
    c, rng = random_law(len(S), seed, count), np.random.default_rng(seed)
    found = per_sample_filter(S, eps, weight, c)
    assert found.gap <= 1e-7 * found.objective
    assert found.objective == per_sample_objective(S, found.gains, eps, weight, c)
    for size in (1e-5, 1e-2, 1.0):
        other = found.gains + size * rng.normal(size=len(S)) * (1 + found.gains)
        assert per_sample_objective(S, other, eps, weight, c) >= found.objective - found.gap


@settings(deadline=None, max_examples=40)
@given(st.floats(0.01, 10), amounts, amounts, st.integers(0, 99))
def test_one_singular_value_has_a_closed_form(S: float, eps: float, weight: float, seed: int) -> None:
    """(1 + λ)(1 − qS)² E c² + 2λ qε (1 − qS) E|c| + λ ε² q², on 0 ≤ q ≤ 1/S; convex or not."""
    c = random_law(1, seed)
    square, size = np.square(c).mean(), np.abs(c).mean()
    grid = np.linspace(0, 1 / S, 2001)
    values = (1 + weight) * (1 - grid * S) ** 2 * square
    values += weight * (2 * grid * eps * (1 - grid * S) * size + eps**2 * grid**2)
    found = per_sample_filter([S], eps, weight, c)
    assert found.objective <= values.min() * (1 + 1e-7)
    assert found.objective >= values.min() * (1 - 1e-5)


@pytest.mark.parametrize("eps", [0.05, 0.5, 3.0])
def test_a_generic_solver_finds_nothing_better(eps: float) -> None:
    S, c = (0.1, 0.5, 1.0), random_law(3, 0, 200)
    found = per_sample_filter(S, eps, 1, c)
    searched = minimize(
        lambda q: per_sample_objective(S, q, eps, 1, c),
        x0=[0.5, 0.5, 0.5],
        method="Nelder-Mead",
        options={"xatol": 1e-7, "fatol": 1e-12, "maxiter": 2000},
    )
    assert searched.fun >= found.objective - found.gap
    assert searched.fun == pytest.approx(found.objective, rel=1e-5)


@pytest.mark.parametrize("eps", [0.2, 1.0])
def test_no_matrix_does_better_under_a_symmetric_law(eps: float) -> None:
    rng, S = np.random.default_rng(0), np.array([1.0, 0.2])
    U, V = (np.linalg.qr(rng.normal(size=(2, 2)))[0] for _ in range(2))
    A, half = U * S @ V.T, np.abs(random_law(2, 1, 6))
    c = np.concatenate([half * signs for signs in ([1, 1], [1, -1], [-1, 1], [-1, -1])])

    def cost(B: np.ndarray) -> float:
        errors = []
        for x in c @ V.T:
            residual = B @ A @ x - x
            delta = worst_perturbation(B, residual, eps)
            errors.append(np.sum(residual**2) + np.sum((B @ delta + residual) ** 2))
        return float(np.mean(errors))

    found = per_sample_filter(S, eps, 1, c)
    B = reconstruction_matrix(U, found.gains, V.T)
    assert cost(B) == pytest.approx(found.objective, rel=1e-7)
    for size in (1e-3, 1e-1):
        for _ in range(10):
            assert cost(B + size * rng.normal(size=(2, 2))) >= found.objective - found.gap


@given(spectra, st.integers(0, 99), amounts, st.lists(st.floats(0, 5), min_size=6, max_size=6))
def test_an_adversary_that_sees_x_does_at_least_as_much(
    S: list[float], seed: int, eps: float, gains: list[float]
) -> None:
    c = random_law(len(S), seed)
    c /= np.sqrt(np.square(c).mean(0))
    q = np.array(gains[: len(S)])
    assert per_sample_objective(S, q, eps, 1, c) >= objective(S, q, eps, 1) * (1 - 1e-9)


def test_order_scale_and_zeros() -> None:
    S, c = np.array([2.0, 0.0, 0.3, 0.3, 1.0]), random_law(5, 0, 300)
    q = per_sample_filter(S, 0.5, 1, c).gains
    order = [3, 0, 4, 2, 1]
    assert per_sample_filter(S[order], 0.5, 1, c[:, order]).gains == pytest.approx(q[order], abs=1e-5)
    assert per_sample_filter(8 * S, 4.0, 1, c).gains == pytest.approx(q / 8, abs=1e-5)
    assert per_sample_filter(S, 0.5, 1, -c).gains.tolist() == q.tolist()
    assert q[1] == 0


def test_limits() -> None:
    S, c = np.array([0.0, 0.5, 1.0]), random_law(3, 0)
    inverse = [0, 2, 1]
    for eps, weight in ((0, 1), (1, 0)):
        assert per_sample_filter(S, eps, weight, c).gains.tolist() == inverse
    assert per_sample_filter(S, 1e-6, 1, c).gains == pytest.approx(inverse, rel=1e-4)
    assert per_sample_filter(S, 1e4, 1, c).gains == pytest.approx([0, 0, 0], abs=1e-4)
    assert per_sample_filter([0.0], 1, 1, c[:, :1]).gains.tolist() == [0]


@pytest.mark.parametrize("bad", [np.ones(2), np.ones((3, 1)), np.zeros((3, 2)), np.full((3, 2), np.nan)])
def test_bad_coefficients_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="coefficients"):
        per_sample_filter([1.0, 2.0], 1, 1, bad)


@pytest.mark.soak
def test_a_thousand_problems_are_proved() -> None:
    rng = np.random.default_rng(0)
    for _ in range(1000):
        k = rng.integers(1, 12)
        S = 10 ** rng.uniform(-3, 1, k) * (rng.random(k) > 0.1)
        S[0] = S[-1] if rng.random() < 0.3 else S[0]
        c = rng.normal(size=(rng.integers(1, 500), k))
        c = np.sign(c) if rng.random() < 0.2 else c
        eps, weight = 10 ** rng.uniform(-2, 1.5), 10 ** rng.uniform(-2, 2)
        found = per_sample_filter(S, eps, weight, c)
        assert found.gap <= 1e-7 * found.objective

"""The closed form of the min–max: exact, optimal among all matrices, and what it must become at the limits."""

import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from ctrobust.theory import (
    minmax_filter,
    objective,
    pseudo_inverse_filter,
    reconstruction_matrix,
    tikhonov_filter,
    truncated_filter,
)

SIX = (0.05, 0.1, 0.3, 0.6, 1.0, 2.0)

values = st.floats(1e-3, 1e3)
# Few different ones, so that repeated singular values are common; zeros among them.
spectra = st.lists(st.one_of(values, st.sampled_from([0.0, 0.5, 1.0, 1.0 + 1e-15])), min_size=1, max_size=8)
seen_spectra = st.lists(values, min_size=1, max_size=8)
amounts = st.floats(1e-3, 1e3)


def exact_filter(S: list[float], eps: float, weight: float) -> list[Fraction]:
    """The optimum in rational numbers: the level of every m, and the one that its neighbours confirm."""
    e2 = Fraction(eps) ** 2 * Fraction(weight) / (1 + Fraction(weight))
    ascending = sorted(Fraction(s) for s in S)
    for m in range(1, len(S) + 1):
        level = sum(ascending[:m]) / (sum(s * s for s in ascending[:m]) + e2)
        if level * ascending[m - 1] <= 1 and (m == len(S) or level * ascending[m] >= 1):
            return [min(1 / Fraction(s), level) if s else level for s in S]
    raise AssertionError("no m fits")


def matrix_objective(B: np.ndarray, A: np.ndarray, eps: float, weight: float) -> float:
    """For any matrix, from the definition: E ‖(BA − I)x‖² = ‖BA − I‖², worst ‖Bδ‖² = ε² σ_max(B)²."""
    clean = np.sum((B @ A - np.eye(A.shape[1])) ** 2)
    return float(clean + weight * (clean + eps**2 * np.linalg.norm(B, 2) ** 2))


@pytest.mark.parametrize(
    ("weight", "eps", "clipped", "level"),
    [(1, 1, 4, 1.0909), (1, 0.3, 3, 3.0509), (0.1, 1, 3, 2.3267), (1, 5, 6, 0.2255)],
)
def test_known_levels(weight: float, eps: float, clipped: int, level: float) -> None:
    q = minmax_filter(SIX, eps, weight)
    assert q[:clipped] == pytest.approx([level] * clipped, abs=1e-4)
    assert q[clipped:].tolist() == [1 / s for s in SIX[clipped:]]


@given(spectra, amounts, st.floats(1e-3, 1e2))
def test_agrees_with_rational_arithmetic(S: list[float], eps: float, weight: float) -> None:
    q = minmax_filter(S, eps, weight)
    assert q == pytest.approx([float(exact) for exact in exact_filter(S, eps, weight)], rel=4e-15, abs=0)


@pytest.mark.parametrize("shape", [(4, 4), (3, 6), (6, 3)])
@pytest.mark.parametrize("spectrum", [(1.0, 0.4, 0.1), (1.0, 0.3, 0.3), (1.0, 0.2, 0.0)])
@pytest.mark.parametrize("eps", [0.1, 0.6, 3.0])
def test_no_matrix_does_better(shape: tuple[int, int], spectrum: tuple[float, ...], eps: float) -> None:
    rng = np.random.default_rng(0)
    A = (
        np.linalg.qr(rng.normal(size=(shape[0], 3)))[0]
        * spectrum
        @ np.linalg.qr(rng.normal(size=(shape[1], 3)))[0].T
    )
    U, S, Vh = np.linalg.svd(A, full_matrices=False)
    # What is zero but for rounding is zero.
    S = np.where(S > 1e-12, S, 0)
    B = reconstruction_matrix(U, minmax_filter(S, eps, 0.7), Vh)
    assert B.shape == A.shape[::-1]
    least = matrix_objective(B, A, eps, 0.7)
    for size in (1e-4, 1e-2, 1.0):
        for _ in range(50):
            moved = B + size * rng.normal(size=B.shape)
            assert matrix_objective(moved, A, eps, 0.7) >= least * (1 - 1e-12)


@given(spectra, amounts, amounts, st.integers(0, 99))
def test_no_gains_nearby_do_better(S: list[float], eps: float, weight: float, seed: int) -> None:
    q, rng = minmax_filter(S, eps, weight), np.random.default_rng(seed)
    least = objective(S, q, eps, weight)
    for size in (1e-6, 1e-3, 1.0):
        assert objective(S, q * (1 + size * rng.normal(size=len(q))), eps, weight) >= least * (1 - 1e-12)


@pytest.mark.parametrize("eps", [0.05, 0.3, 1.0, 5.0])
def test_a_generic_solver_finds_the_same(eps: float) -> None:
    """min over (q, t) of the clean parts + λ ε² t², with −t ≤ qᵢ ≤ t."""
    S = np.array(SIX)

    def cost(z: np.ndarray) -> float:
        return float(2 * np.sum((z[:-1] * S - 1) ** 2) + eps**2 * z[-1] ** 2)

    within = [{"type": "ineq", "fun": lambda z, sign=sign: z[-1] - sign * z[:-1]} for sign in (1, -1)]
    start = np.append(np.full(6, 0.5), 1)
    found = minimize(cost, start, constraints=within, method="SLSQP", options={"maxiter": 500, "ftol": 1e-15})
    q = minmax_filter(S, eps, 1)
    assert objective(S, q, eps, 1) <= found.fun * (1 + 1e-9)
    assert found.fun == pytest.approx(objective(S, q, eps, 1), rel=1e-6)
    assert found.x[:-1] == pytest.approx(q, rel=2e-2)


@given(st.permutations(range(7)), amounts)
def test_gains_come_in_the_order_given(order: list[int], eps: float) -> None:
    S = np.array([2, 0, 0.3, 0.3, 1, 0, 0.05])
    assert minmax_filter(S[order], eps, 1).tolist() == minmax_filter(S, eps, 1)[order].tolist()


@given(spectra, st.lists(amounts, min_size=2, max_size=5), amounts)
def test_more_eps_or_weight_never_raises_a_gain(S: list[float], several: list[float], other: float) -> None:
    for made in (lambda a: minmax_filter(S, a, other), lambda a: minmax_filter(S, other, a)):
        for less, more in pairwise(sorted(several)):
            assert (made(more) <= made(less) * (1 + 1e-14)).all()


@given(spectra, amounts, amounts, st.floats(1e-6, 1e6))
def test_gains_scale_against_the_singular_values(S: list[float], eps: float, weight: float, c: float) -> None:
    scaled = minmax_filter(c * np.array(S), c * eps, weight)
    assert scaled == pytest.approx(minmax_filter(S, eps, weight) / c, rel=1e-13)


@given(seen_spectra, amounts)
def test_without_an_adversary_it_is_the_inverse(S: list[float], amount: float) -> None:
    inverse = [1 / s for s in S]
    assert minmax_filter(S, 0, amount).tolist() == minmax_filter(S, amount, 0).tolist() == inverse
    assert minmax_filter(S, 1e-9, amount) == pytest.approx(inverse, rel=1e-10)


@given(seen_spectra, amounts)
def test_a_great_eps_leaves_one_small_gain(S: list[float], weight: float) -> None:
    q = minmax_filter(S, 1e9, weight)
    assert q == pytest.approx(np.full(len(S), sum(S) * (1 + weight) / weight / 1e18), rel=1e-6)


def test_a_zero_gets_the_limit() -> None:
    for eps in (0.0, 0.2, 1.0, 4.0):
        q = minmax_filter([0.0, 0.5, 0.0, 2.0], eps, 1)
        assert q[0] == q[2] == pytest.approx(minmax_filter([1e-13, 0.5, 2.0], eps, 1)[0] if eps else 2.0)
    assert minmax_filter([0.0, 0.0], 1, 1).tolist() == [0, 0]
    assert minmax_filter([0.0, 0.0], 0, 1).tolist() == [0, 0]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1e30, 1e150])
def test_extremes_are_met_without_a_warning(scale: float) -> None:
    S = np.array(SIX)
    assert minmax_filter(S * scale, scale, 1) * scale == pytest.approx(minmax_filter(S, 1, 1), rel=1e-13)
    assert np.isfinite(minmax_filter(S, scale, 1)).all()
    assert np.isfinite(minmax_filter(S, 1, scale)).all()
    # One of them far below the rest: each is as if alone.
    apart = minmax_filter([scale * 1e-100, scale], scale * 1e-100, 1)
    assert apart * scale == pytest.approx([1 / 1.5 * 1e100, 1], rel=1e-12)


@pytest.mark.parametrize("bad", [[-1.0], [np.nan, 1], [np.inf], [], [[1.0, 2.0]]])
def test_bad_singular_values_are_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="singular_values"):
        minmax_filter(bad, 1, 1)


@pytest.mark.parametrize("of", [minmax_filter, tikhonov_filter, truncated_filter])
@pytest.mark.parametrize("bad", [-0.1, np.nan, np.inf])
@pytest.mark.parametrize("S", [[1.0], [0.0]])
def test_bad_amounts_are_refused(of: Callable[..., np.ndarray], S: list[float], bad: float) -> None:
    with pytest.raises(ValueError, match="eps"):
        of(S, bad, 1)
    with pytest.raises(ValueError, match="weight"):
        of(S, 1, bad)


@settings(deadline=None, max_examples=30)
@given(spectra, amounts, amounts)
def test_no_classic_does_better(S: list[float], eps: float, weight: float) -> None:
    least = objective(S, minmax_filter(S, eps, weight), eps, weight)
    for classic in (pseudo_inverse_filter, tikhonov_filter, truncated_filter):
        assert objective(S, classic(S, eps, weight), eps, weight) >= least * (1 - 1e-12)


@pytest.mark.parametrize("eps", [0.0, 0.1, 1.0, 5.0])
def test_classics_are_the_best_of_their_family(eps: float) -> None:
    S = np.array([*SIX, 0.0])
    tikhonov, truncated = (
        objective(S, made(S, eps, 1), eps, 1) for made in (tikhonov_filter, truncated_filter)
    )
    for alpha in np.geomspace(1e-9, 1e4, 2000):
        assert tikhonov <= objective(S, S / (S**2 + alpha), eps, 1) * (1 + 1e-9)
    for kept in range(7):
        q = np.where(np.argsort(np.argsort(-S)) < kept, pseudo_inverse_filter(S), 0)
        assert truncated <= objective(S, q, eps, 1) * (1 + 1e-12)


def test_classics_at_zero() -> None:
    assert pseudo_inverse_filter([0.0, 0.5]).tolist() == [0, 2]
    assert tikhonov_filter([0.0, 0.5], 0, 1).tolist() == truncated_filter([0.0, 0.5], 0, 1).tolist() == [0, 2]
    assert tikhonov_filter([0.0], 1, 1).tolist() == truncated_filter([0.0], 1, 1).tolist() == [0]


def test_needs_no_torch() -> None:
    check = "import ctrobust.theory, sys; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"

"""Risks of a filter against the same from matrices, and the trade-off between them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctrobust.theory import (
    clean_risk,
    minmax_filter,
    objective,
    pseudo_inverse_filter,
    reconstruction_matrix,
    trade_off,
    truncated_filter,
    worst_risk,
)

SIX = (0.05, 0.1, 0.3, 0.6, 1.0, 2.0)


@pytest.mark.parametrize("shape", [(3, 3), (3, 5), (5, 3)])
@given(gains=st.lists(st.floats(-3, 3), min_size=3, max_size=3), eps=st.floats(0, 5))
def test_risks_are_those_of_the_matrix(shape: tuple[int, int], gains: list[float], eps: float) -> None:
    A = np.random.default_rng(1).normal(size=shape)
    U, S, Vh = np.linalg.svd(A, full_matrices=False)
    B = reconstruction_matrix(U, gains, Vh)
    clean = np.sum((B @ A - np.eye(shape[1])) ** 2)
    delta = eps * np.linalg.svd(B)[2][0]
    attacked = clean + np.sum((B @ delta) ** 2)
    unseen = shape[1] - 3
    padded = np.append(S, np.zeros(unseen)), np.append(gains, np.zeros(unseen))
    assert clean_risk(*padded) == pytest.approx(clean, rel=1e-10)
    assert worst_risk(*padded, eps) == pytest.approx(attacked, rel=1e-10)
    assert objective(*padded, eps, 0.3) == pytest.approx(clean + 0.3 * attacked, rel=1e-10)


def test_gains_that_do_not_fit_are_refused() -> None:
    for bad in ([1.0], [1.0, np.nan]):
        with pytest.raises(ValueError, match="gains"):
            clean_risk([1.0, 2.0], bad)
    with pytest.raises(ValueError, match="eps"):
        worst_risk([1.0], [1.0], -1)


def test_clean_error_is_the_price() -> None:
    """At ε = 0 the inverse wins, under attack the clipped filter does; each at its own ε, both errors grow."""
    curve = trade_off(SIX, np.linspace(0, 3, 31), 1)
    assert curve.gains.shape == (31, 6)
    assert curve.clean[0] == curve.worst[0] == 0
    assert (np.diff(curve.clean) > 0).all()
    assert (np.diff(curve.worst) > 0).all()
    inverse = trade_off(SIX, curve.eps, 1, design=pseudo_inverse_filter)
    assert (inverse.clean == 0).all()
    assert (inverse.worst[1:] > curve.worst[1:]).all()


def test_judged_at_one_eps_the_worst_error_falls_to_its_least_and_rises() -> None:
    """With λ = 1 the filter made for √2 · judged is the best against judged alone."""
    curve = trade_off(SIX, np.linspace(0, 3, 301) * 2**0.5, 1, judged=1.0)
    best = int(np.argmin(curve.worst))
    assert curve.eps[best] == pytest.approx(2**0.5)
    assert (curve.judged == 1).all()
    assert (np.diff(curve.worst[: best + 1]) < 0).all()
    assert (np.diff(curve.worst[best:]) > 0).all()


@given(st.lists(st.floats(0, 25), min_size=6, max_size=6))
def test_nothing_lies_below_the_front(gains: list[float]) -> None:
    """Whoever has the clean error of a min–max filter, or less, has at least its worst error."""
    curve = trade_off(SIX, np.linspace(0, 2**0.5, 50), 1, judged=1.0)
    clean, worst = clean_risk(SIX, gains), worst_risk(SIX, gains, 1.0)
    assert not ((clean < curve.clean * (1 - 1e-12)) & (worst < curve.worst * (1 - 1e-12))).any()


def test_truncation_lies_above_the_front() -> None:
    front = trade_off(SIX, np.linspace(0, 2**0.5, 200), 1, judged=1.0)
    truncated = trade_off(SIX, front.eps, 1, judged=1.0, design=truncated_filter)
    for clean, worst in zip(truncated.clean, truncated.worst, strict=True):
        assert worst >= np.interp(clean, front.clean, front.worst) * (1 - 1e-3)


def test_a_filter_is_as_good_as_its_definition_at_one_singular_value() -> None:
    """k = 1: (1 + λ)(qS − 1)² + λε²q² has its minimum at S/(S² + ε²λ/(1 + λ)), which Tikhonov has, too."""
    q = minmax_filter([0.4], 0.7, 2.0)
    assert q == pytest.approx([0.4 / (0.16 + 0.49 * 2 / 3)])

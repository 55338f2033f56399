"""A linear B trained by min–max ends where the theory says."""

import math

import numpy as np
import pytest
import torch

from ctrobust.operators.dense import DenseOperator
from ctrobust.operators.sensing import dct_submatrix, prescribed_spectrum
from ctrobust.theory.training import LinearRun, balanced_gaussian, train_per_sample, train_shared


def two_by_two() -> DenseOperator:
    """Singular values 1 and 0.1, turned by half a radian in y and by 1.1 in x."""

    def turn(angle: float) -> torch.Tensor:
        c, s = math.cos(angle), math.sin(angle)
        return torch.tensor([[c, -s], [s, c]], dtype=torch.float64)

    return DenseOperator(
        turn(0.5) @ torch.diag(torch.tensor([1, 0.1], dtype=torch.float64)) @ turn(-1.1), (1, 2)
    )


def dct_case() -> DenseOperator:
    """12 of 32 rows on 16 pixels: condition number 16."""
    return dct_submatrix(12, (4, 4), 32, seed=0)


def check(run: LinearRun) -> None:
    assert run.distance[-1] < 0.01
    assert run.learned == pytest.approx(run.predicted, rel=0.03)
    assert len(run.steps) == len(run.distance) == len(run.iterate)
    assert run.distance[0] > 5 * run.distance[-1]


def test_shared_two_by_two() -> None:
    """Both gains clipped at .728: a tie, about which the iterates circle and their average does not."""
    run = train_shared(two_by_two(), 1, 1, steps=250, batch_size=4, seed=0)
    assert run.predicted == pytest.approx([1.1 / 1.51] * 2)
    check(run)
    assert run.iterate[-50:].mean() > 3 * run.distance[-1]


def test_shared_dct() -> None:
    run = train_shared(dct_case(), 0.5, 1, steps=350, batch_size=32, seed=0)
    assert sum(run.predicted == run.predicted.max()) == 4
    check(run)


def test_per_sample_two_by_two() -> None:
    check(train_per_sample(two_by_two(), 1, 1, steps=80, batch_size=128, seed=0))


def test_per_sample_dct() -> None:
    run = train_per_sample(dct_case(), 1, 1, steps=120, batch_size=128, seed=0)
    check(run)
    shared = run.predicted.max()
    assert run.predicted[-1] < 0.5 * shared


def test_without_attack_it_inverts() -> None:
    A = prescribed_spectrum([1.0, 0.8, 0.5], (2, 2), seed=0)
    run = train_shared(A, 0, 1, steps=200, batch_size=8, seed=0)
    assert run.learned == pytest.approx([1, 1.25, 2], rel=0.02)


def test_the_same_seed_the_same_run() -> None:
    runs = [train_per_sample(two_by_two(), 1, 1, steps=5, batch_size=8, seed=seed).B for seed in (3, 3, 4)]
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_batches_have_exact_moments_and_are_gaussian() -> None:
    x = balanced_gaussian(4000, (2, 3), torch.Generator().manual_seed(0)).flatten(1).numpy()
    assert x.mean(0) == pytest.approx(np.zeros(6), abs=1e-12)
    assert x.T @ x / len(x) == pytest.approx(np.eye(6), abs=1e-12)
    assert (x**4).mean(0) == pytest.approx(np.full(6, 3), rel=0.1)


@pytest.mark.parametrize("bad", [7, 10])
def test_batches_too_small_or_odd_are_refused(bad: int) -> None:
    with pytest.raises(ValueError, match="batch_size"):
        balanced_gaussian(bad, (2, 3), torch.Generator())


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("eps", [0.3, 1.0])
@pytest.mark.parametrize("case", [two_by_two, dct_case])
def test_longer(case, eps: float, seed: int) -> None:  # type: ignore[no-untyped-def]
    A = case()
    for run in (
        train_shared(A, eps, 1, steps=3000, batch_size=32, seed=seed),
        train_per_sample(A, eps, 1, steps=1000, batch_size=256, seed=seed),
    ):
        assert run.distance[-1] < 0.01

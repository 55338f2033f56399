"""Metrics, intervals, curves and the choice of slices, each against a second way of computing it."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ctrobust.core.geometry import ParallelBeam
from ctrobust.core.statistics import clustered_interval, why_no_interval
from ctrobust.evaluate import robustness_curve
from ctrobust.evaluate.competence import adjoint_gap, attack_checks
from ctrobust.evaluate.metrics import mean_quality, quality
from ctrobust.evaluate.run import evaluate_run
from ctrobust.evaluate.selection import evenly, spread_over_patients
from ctrobust.experiment import Experiment
from ctrobust.networks import FBPConvNet
from ctrobust.operators import Projector
from ctrobust.reconstruct import FilteredBackProjection, LearnedReconstructor, load
from ctrobust.threat import L2Ball, ProjectedGradientAscent


def test_image_quality_of_a_known_error() -> None:
    truth = np.random.default_rng(0).random((32, 32)).astype(np.float32)
    found = mean_quality([quality(truth + np.float32(shift), truth) for shift in (0.1, -0.01)])
    assert found["psnr_db"] == pytest.approx((20 + 40) / 2, abs=1e-3)
    assert found["rmse_hu"] == pytest.approx((100 + 10) / 2, abs=1e-2)
    assert found["mse"] == pytest.approx((0.01 + 0.0001) / 2, rel=1e-4)
    assert 0.5 < found["ssim"] < 1


def test_one_slice_a_patient_is_the_ordinary_interval() -> None:
    values = np.random.default_rng(1).normal(3, 1, 12)
    low, high = clustered_interval(values, range(12))
    half = 2.200985 * values.std(ddof=1) / math.sqrt(12)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), rel=1e-6)


def test_copies_of_a_slice_tell_nothing_new() -> None:
    values = np.random.default_rng(1).normal(3, 1, 8)
    assert clustered_interval(np.repeat(values, 5), np.repeat(range(8), 5)) == pytest.approx(
        clustered_interval(values, range(8))
    )


def test_fewer_than_six_patients_have_no_interval() -> None:
    assert clustered_interval(np.arange(50.0), np.arange(50) % 5) is None


def make(size: int = 16, count: int = 10) -> tuple[Projector, torch.Tensor, torch.Tensor]:
    A = Projector(ParallelBeam(size, 9, pixel_mm=10.0))
    x = torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(0))
    return A, A(x), x


def test_the_curve_never_falls_and_beats_random_noise() -> None:
    A, y, x = make()
    f = LearnedReconstructor(A, FBPConvNet(4, 3)).eval()
    attack = ProjectedGradientAscent(L2Ball(0.1), steps=6, restarts=1)
    eps = (0.05, 0.0, 0.01, 0.1)
    rows = robustness_curve(f, y, x, eps, attack, groups=[f"p{i}" for i in range(10)])
    assert [row["eps"] for row in rows] == sorted(eps)
    rho = [row["rho"] for row in rows]
    assert rho == sorted(rho)
    clean = (f(y) - x).square().sum((1, 2, 3)).mean().item()
    assert rho[0] == pytest.approx(clean, rel=1e-5)
    assert rows[0]["random"] == pytest.approx(clean, rel=1e-5)
    assert all(row["rho"] > row["random"] for row in rows[1:])
    assert all(row["rho_ci95"][0] < row["rho"] < row["rho_ci95"][1] for row in rows)
    psnr = [row["psnr_db"] for row in rows]
    assert psnr == sorted(psnr, reverse=True)


def test_a_module_in_train_mode_is_judged_in_eval_mode_and_left_as_it_was() -> None:
    A, y, x = make(count=3)
    f = LearnedReconstructor(A, FBPConvNet(4, 3)).train()
    before = {name: value.clone() for name, value in f.state_dict().items()}
    attack = ProjectedGradientAscent(L2Ball(0.1), steps=2, restarts=1)
    rows = robustness_curve(f, y, x, (0.0, 0.05), attack)
    assert f.training
    assert all(torch.equal(before[name], value) for name, value in f.state_dict().items())
    assert rows == robustness_curve(f.eval(), y, x, (0.0, 0.05), attack)


def test_an_evaluation_of_a_module_in_train_mode_is_that_in_eval_mode(
    trained: Path, opened: Callable[..., Experiment]
) -> None:
    """Clean figures and examples too, and no statistic of batch norm moves."""
    quick = ("evaluate.steps=1", "evaluate.slices=2", "evaluate.controls=[]", "evaluate.adversaries=[ring]")
    found = []
    for mode in (True, False):
        f = load(trained).train(mode)
        before = {name: value.clone() for name, value in f.state_dict().items()}
        found.append(evaluate_run(f, opened(*quick), trained / "split.json"))
        assert f.training == mode
        assert all(torch.equal(before[name], value) for name, value in f.state_dict().items())
    assert found[0][0] == found[1][0]
    assert all(np.array_equal(found[0][1][name], found[1][1][name]) for name in found[0][1])


def test_without_an_interval_there_is_a_reason(trained: Path, opened: Callable[..., Experiment]) -> None:
    quick = ("evaluate.steps=1", "evaluate.slices=2", "evaluate.controls=[]")
    result, _ = evaluate_run(load(trained), opened(*quick), trained / "split.json")
    assert all(row["rho_ci95"] is None for row in result["curve"])
    assert result["metrics"]["rho_ci95"] == f"null: {result['data']['n_patients']} patients, fewer than 6"
    assert why_no_interval("abcdef") is None


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(1, 45))
def test_slices_are_spread_over_patients(owners: list[int], limit: int) -> None:
    patients = [f"p{owner}" for owner in owners]
    chosen = spread_over_patients(range(len(owners)), patients, limit)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(limit, len(owners))
    taken = {patient: sum(patients[i] == patient for i in chosen) for patient in patients}
    for patient, count in taken.items():
        # Nobody has two fewer than another, unless all of theirs are taken.
        assert count == patients.count(patient) or count >= max(taken.values()) - 1


def test_evenly() -> None:
    assert evenly([1, 2, 3], 5) == [1, 2, 3]
    assert evenly(list(range(10)), 2) == [2, 7]
    assert evenly([], 3) == []


def test_checks_pass_for_a_good_attack_and_fail_for_a_poor_one() -> None:
    A, y, x = make(count=2)
    f = FilteredBackProjection(A)
    good = attack_checks(f, A, y, x, ProjectedGradientAscent(L2Ball(0.05), steps=60))
    assert all(check["ok"] for check in good.values()), good
    poor = attack_checks(f, A, y, x, ProjectedGradientAscent(L2Ball(0.05), steps=1, restarts=1))
    assert not poor["convergence"]["ok"]


def test_a_flipped_sign_in_the_adjoint_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    A, y, x = make(count=1)
    backend = A._backend
    monkeypatch.setattr(backend, "adjoint", lambda y, exact=backend.adjoint: -exact(y))
    assert adjoint_gap(A, 0) > 1e-3
    assert not attack_checks(
        FilteredBackProjection(A), A, y, x, ProjectedGradientAscent(L2Ball(0.05), steps=3)
    )["adjoint"]["ok"]


def test_quality_of_colours_is_the_mean_over_channels() -> None:
    draw = np.random.default_rng(0)
    truth, estimate = draw.random((2, 3, 28, 28), np.float32)
    alone = [quality(*pair) for pair in zip(estimate, truth, strict=True)]
    whole = quality(estimate, truth)
    assert whole.mse == pytest.approx(np.mean([each.mse for each in alone]))
    assert whole.ssim == pytest.approx(np.mean([each.ssim for each in alone]))
    assert mean_quality([whole], in_hu=False)["rmse_hu"] is None


def test_fewer_slices_than_patients_come_from_all_over() -> None:
    """The first half of MNIST's test set is the easier one."""
    assert spread_over_patients(range(100, 1100), [f"{i}" for i in range(1100)], 4) == [225, 475, 725, 975]

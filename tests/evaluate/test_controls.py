"""The control arms: tuned on slices nobody is judged on, differentiable, attacked like f."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from ctrobust.cli.evaluate import as_table
from ctrobust.evaluate.controls import CANDIDATES, Control, tuned
from ctrobust.evaluate.curve import robustness_curve
from ctrobust.experiment import Experiment
from ctrobust.recipes.schema import Control as Name
from ctrobust.report.result import read_result
from ctrobust.threat import L2Ball, ProjectedGradientAscent
from ctrobust.threat.ascent import gradient_gap, squared_error

Open = Callable[..., Experiment]


def test_a_recipe_can_name_them_all() -> None:
    assert set(CANDIDATES) == set(get_args(Name))


@pytest.mark.parametrize("name", CANDIDATES)
def test_the_best_on_the_validation_part_is_taken(name: str, opened: Open) -> None:
    experiment = opened()
    y, x = experiment.pair(experiment.split.val)
    errors = [
        float(squared_error(Control(experiment.projector, name, settings), y, x).mean())
        for settings in CANDIDATES[name]
    ]
    assert tuned(name, experiment).settings == CANDIDATES[name][int(np.argmin(errors))]
    assert len(set(errors)) > 1


def test_nothing_that_is_judged_is_tuned_on(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    pair = Experiment.pair
    monkeypatch.setattr(Experiment, "pair", lambda self, indices: seen.extend(indices) or pair(self, indices))
    experiment = opened()
    tuned("fbp", experiment)
    assert set(seen) <= set(experiment.split.val)


@pytest.mark.parametrize("name", CANDIDATES)
def test_a_gradient_goes_through_all_iterations(name: str, opened: Open) -> None:
    """But for the kinks of TV, which a finite difference steps over; without the iterations nothing would be left."""
    experiment = opened()
    y, x = experiment.pair(experiment.split.val[:1])
    fewer = {"iterations": 20} if name == "tv" else {}
    arm = Control(experiment.projector, name, CANDIDATES[name][-1] | fewer)
    assert gradient_gap(arm, y, x) < (0.15 if name == "tv" else 0.01)


def test_in_a_result_each_is_what_the_curve_says(judge: Callable[..., dict[str, Any]], opened: Open) -> None:
    overrides = ("evaluate.controls=[cgls]", "evaluate.steps=2", "evaluate.examples=0")
    found, experiment = judge(*overrides)["controls"], opened(*overrides)
    assert list(found) == ["cgls"]
    arm = Control(experiment.projector, "cgls", found["cgls"]["settings"])
    chosen = found["cgls"]["slices"]["index"]
    y, x = experiment.pair(chosen)
    attack = ProjectedGradientAscent(L2Ball(0.02), steps=2, restarts=1)
    rows = robustness_curve(arm, y, x, (0.0, 0.01, 0.02), attack)
    assert [row["rho"] for row in found["cgls"]["curve"]] == pytest.approx([row["rho"] for row in rows])
    worst = found["cgls"]["slices"]["worst"]
    assert [np.mean(worst[key]) for key in ("0", "0.01", "0.02")] == pytest.approx(
        [row["rho"] for row in rows]
    )


def test_fbp_at_the_tuned_window_and_at_the_runs_own(judge: Callable[..., dict[str, Any]]) -> None:
    result = judge("evaluate.steps=1", "evaluate.examples=0")
    window = result["controls"]["fbp"]["settings"]["window"]
    assert result["reference"]["window"] == "ram-lak"
    same = result["controls"]["fbp"]["curve"] == result["reference"]["curve"]
    assert same == (window == "ram-lak")


@torch.no_grad()
def test_a_slice_by_itself_is_its_part_of_the_mean(judge: Callable[..., dict[str, Any]]) -> None:
    result = judge("evaluate.steps=1", "evaluate.examples=0", "evaluate.batch_size=2")
    slices = result["slices"]
    assert len(slices["index"]) == len(slices["patient"]) == result["data"]["n_slices"]
    assert np.mean(slices["mse"]) == pytest.approx(result["clean"]["mse"])
    assert np.mean(slices["ssim"]) == pytest.approx(result["clean"]["ssim"])
    for row in result["curve"]:
        assert np.mean(slices["worst"][f"{row['eps']:g}"]) == pytest.approx(row["rho"])


def test_the_attack_on_each_of_them_is_checked_by_itself(
    judge: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """One step is too few for FBP, whatever it is for f; the report marks the curve that it was too few for."""
    quick = ("evaluate.steps=1", "evaluate.examples=0", "evaluate.slices=3", "evaluate.eps=[0.02,0.04]")
    result = judge(*quick, "evaluate.controls=[fbp,cgls]")
    arms = {"f": result, "reference": result["reference"], **result["controls"]}
    for name, arm in arms.items():
        checks = arm["attack"]["checks"]
        assert {
            "adjoint",
            "gradient",
            "convergence",
            "restarts",
            "second",
            "exact",
            "second_at_largest",
        } < set(checks)
        assert checks["second"]["what"].endswith(f"on {3 if name == 'f' else 2} slices")
        assert arm["attack"]["competent"] == all(check["ok"] for check in checks.values())
        assert ("on f itself" in checks["exact"]["what"]) == (name in ("reference", "fbp"))
    assert not result["reference"]["attack"]["competent"]
    (tmp_path / "result.json").write_text(json.dumps(result))
    read = read_result(tmp_path / "result.json")
    assert read.reference is not None
    for name, measured in (("reference", read.reference), *((each.method, each) for each in read.controls)):
        failed = {name for name, check in arms[name]["attack"]["checks"].items() if not check["ok"]}
        assert {check.name for check in measured.failed} == failed
    assert "attack checks failed on fbp" in as_table(result)

"""Every adversary by its name in a recipe, and every budget, as result.json has them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from ctrobust.core.errors import UserError
from ctrobust.evaluate import run
from ctrobust.evaluate.budgets import budget_of
from ctrobust.evaluate.suite import opponents
from ctrobust.experiment import Experiment
from ctrobust.operators.faults import intensity_drift, ring
from ctrobust.recipes import load_recipe
from ctrobust.recipes.schema import AdversaryName
from ctrobust.reconstruct import load
from ctrobust.report.result import read_result
from ctrobust.threat import ADVERSARIES, L2Ball, Linf, ProjectedGradientAscent, Whitened
from ctrobust.threat.ascent import squared_error

Judge = Callable[..., dict[str, Any]]
FAULTS = (
    "angle_jitter",
    "centre_shift",
    "pixel_size",
    "gain_drift",
    "intensity_drift",
    "ring",
    "dead_channels",
)
QUICK = ("evaluate.steps=3", "evaluate.examples=0", "evaluate.slices=4")


def test_a_recipe_can_name_them_all() -> None:
    assert set(get_args(AdversaryName)) == set(ADVERSARIES)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], L2Ball(0.02)),
        (["evaluate.relative=false", "evaluate.eps=[5, 3]"], L2Ball(5.0, relative=False)),
        (["evaluate.budget=linf"], Linf(0.02)),
        (["evaluate.budget=linf", "evaluate.relative=false"], Linf(0.02, relative=False)),
        (
            ["evaluate.budget=whitened", "evaluate.eps=[3]", "scan.photons=1e4", "scan.electronic_counts=5"],
            Whitened(3.0, 1e4, 5.0),
        ),
    ],
)
def test_the_budget_is_the_recipes(overrides: list[str], expected: object) -> None:
    assert budget_of(load_recipe("tiny", overrides)) == expected


def test_all_of_them(judge: Judge, trained: Path) -> None:
    names = ",".join(ADVERSARIES)
    result = judge(*QUICK, f"evaluate.adversaries=[{names}]", f"evaluate.transfer_from={trained}")
    rows = {row["name"]: row for row in result["adversaries"]}
    assert list(rows) == list(ADVERSARIES)
    rho = {row["eps"]: row["rho"] for row in result["curve"]}
    for name, row in rows.items():
        assert row["rho"] == pytest.approx(np.mean(row["worst"]))
        assert (row["budget"], row["eps"]) == (("box", None) if name in FAULTS else ("l2", 0.02))
        assert name in FAULTS or row["size"] <= 0.02
        assert row["rho"] >= rho[0.0] * (1 - 1e-5) or name in ("sphere", "ball", "generator", "pixel_size")
    # A surrogate that is f itself gives f's own worst case; G and one δ for all find no more than ascent does.
    assert rows["transfer"]["rho"] == pytest.approx(rows["momentum"]["rho"], rel=1e-6)
    assert max(rows[name]["rho"] for name in ("universal", "generator", "image")) <= 1.01 * rho[0.02]
    assert rows["low_frequency"]["settings"]["cutoff"] == 0.25
    assert rows["angle_jitter"]["settings"]["unit"] == "rad"
    assert rows["local_image"]["settings"]["image"] == "middle quarter of the rows and of the columns"
    assert len(rows["transfer"]["settings"]["surrogate_weights_sha256"]) == 64


def test_the_settings_of_a_faulty_scanner_are_told_slice_by_slice(
    judge: Judge, trained: Path, opened: Callable[..., Experiment]
) -> None:
    result = judge(*QUICK, f"evaluate.adversaries=[{','.join(FAULTS)},sphere]", "evaluate.batch_size=3")
    rows = {row["name"]: row for row in result["adversaries"]}
    views, bins = opened().projector.sinogram_shape
    lengths = {"angle_jitter": views, "intensity_drift": views, "ring": bins, "dead_channels": 2}
    for name in FAULTS:
        found, box = rows[name]["found"], rows[name]["settings"]
        assert [len(one) for one in found] == [lengths.get(name, 1)] * 4
        most = bins - 1 if name == "dead_channels" else box["most"]
        assert 0 < max(abs(setting) for one in found for setting in one) <= most
    assert "found" not in rows["sphere"]
    # And they are those that did it.
    f, (y, x) = load(trained), opened().pair(result["slices"]["index"])
    for name, again in (("gain_drift", ring), ("ring", ring), ("intensity_drift", intensity_drift)):
        gains = 1 + torch.tensor(rows[name]["found"])
        # One gain for the whole scan is the same for every bin.
        faulty = again(y, gains.expand(-1, bins) if name == "gain_drift" else gains)
        assert squared_error(f, faulty, x).tolist() == pytest.approx(rows[name]["worst"], rel=1e-4)


def test_an_adversary_that_beats_the_ascent_marks_the_curve(
    judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the curve's own ascent is made weak on purpose: one step, against an Adam of thirty."""
    monkeypatch.setattr(
        run, "opponents", lambda f, e, shown, folder: opponents(f, e, replace(shown, steps=30), folder)
    )
    quick = ("evaluate.examples=0", "evaluate.slices=2", "evaluate.controls=[]")
    for steps, ok in ((1, False), (30, True)):
        result = judge(*quick, f"evaluate.steps={steps}", "evaluate.adversaries=[ring,sphere,adam]")
        rho = {row["eps"]: row["rho"] for row in result["curve"]}[0.02]
        check = result["attack"]["checks"]["adversaries"]
        assert check["value"] == pytest.approx(max(result["adversaries"][2]["rho"] / rho - 1, 0))
        assert check["ok"] is ok
        assert "adam the most" in check["what"]
        assert ok or not result["attack"]["competent"]
    assert "adversaries" not in judge(*quick, "evaluate.steps=1")["attack"]["checks"]


def test_one_perturbation_for_the_whole_set_whatever_the_batch(judge: Judge) -> None:
    whole, parted = (
        judge(*QUICK, "evaluate.adversaries=[universal]", f"evaluate.batch_size={size}")["adversaries"]
        for size in (8, 2)
    )
    assert whole[0]["rho"] == pytest.approx(parted[0]["rho"], rel=1e-5)


@pytest.mark.parametrize("budget", ["linf", "whitened"])
def test_other_budgets_say_so(judge: Judge, opened: Callable[..., Experiment], budget: str) -> None:
    result = judge(
        *QUICK, f"evaluate.budget={budget}", "evaluate.eps=[0.005, 0.01, 2]", "evaluate.adversaries=[sphere]"
    )
    assert result["attack"]["budget"] == result["adversaries"][0]["budget"] == budget
    assert result["attack"]["relative"] is (budget == "linf")
    # Of four radii the middle one: f was trained in another unit.
    assert result["adversaries"][0]["eps"] == 0.01
    if budget == "whitened":
        views, bins = opened().projector.sinogram_shape
        assert result["curve"][-1]["noise_share"] == pytest.approx(2 / (views * bins) ** 0.5)
    else:
        assert "noise_share" not in result["curve"][-1]


def test_what_cannot_be_had_is_said(trained: Path, opened: Callable[..., Experiment], tmp_path: Path) -> None:
    attack = ProjectedGradientAscent(L2Ball(0.02), steps=1)
    with pytest.raises(UserError, match="the trained G; leave generator out"):
        opponents(load(trained), opened("evaluate.adversaries=[generator]"), attack, tmp_path)
    with pytest.raises(UserError, match="its scan is another"):
        opponents(
            load(trained),
            opened("evaluate.adversaries=[transfer]", f"evaluate.transfer_from={trained}", "scan.views=8"),
            attack,
            trained,
        )


def test_the_report_reads_it(trained: Path) -> None:
    read_result(trained / "result.json")

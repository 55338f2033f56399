"""Examinations on request: FBP, whose answers are known, and what cannot be made is said and loses nothing."""

from dataclasses import fields, replace
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from ctrobust.core.errors import UserError
from ctrobust.core.geometry import ParallelBeam
from ctrobust.evaluate import examinations
from ctrobust.evaluate.controls import Control
from ctrobust.evaluate.examinations import EXAMINATIONS, Case, examine, structures
from ctrobust.instability import Letters, Nodule, hide, small
from ctrobust.operators import Projector
from ctrobust.recipes import load_recipe
from ctrobust.recipes.schema import EvaluateRecipe
from ctrobust.reconstruct import FilteredBackProjection
from ctrobust.report.examined import TABLES
from ctrobust.threat import L2Ball, Linf, ProjectedGradientAscent
from ctrobust.threat.ascent import Reconstructor
from ctrobust.threat.budget import relative_norms

SIZE, PIXEL_MM = 48, 6.0


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.setattr(examinations, "DRAWS", 8)
    A = Projector(ParallelBeam(SIZE, 60, pixel_mm=PIXEL_MM))
    v, u = torch.meshgrid(*(torch.linspace(-1, 1, SIZE),) * 2, indexing="ij")
    body = (u**2 + v**2 < 0.8).float()
    x = torch.stack([body, 1.1 * body])[:, None]
    attack = ProjectedGradientAscent(L2Ball(0.02), steps=10, restarts=1)
    put_in = {"nodule": Nodule(24.0, 100.0), "letter": Letters("C", 40.0, 100.0)}
    return Case(FilteredBackProjection(A, "hann"), A, A(x), x, attack, 1e5, 0, put_in)


def test_a_linear_stable_f_has_no_instability(case: Case) -> None:
    found = examine(list(EXAMINATIONS), case)
    assert list(found) == list(EXAMINATIONS)
    # FBP with a Hann window stretches nothing by √20: the protocol of Antun et al. shrinks to nothing.
    assert found["tiny"]["relative"] < 1e-3
    for row in found["structures"]["structures"].values():
        assert 0.3 < row["crc"] < 1.1
        # For a linear f hiding and inventing are the same δ with its sign turned.
        assert row["crc"] - row["crc_hidden"] == pytest.approx(row["crc_invented"], rel=0.05)
        assert row["eps"] == pytest.approx(row["footprint"] / 2)
        assert row["npw"] > row["npw_hidden"]
    errors = [row["squared_error"] for row in found["views"]["rows"]]
    assert [row["views"] for row in found["views"]["rows"]] == [30, 60, 120, 240]
    assert errors[0] > errors[1] > 0.9 * errors[-1]
    # The response of a linear f to a disc does not depend on the δ beside it.
    clean, attacked = found["texture"]["edge"], found["texture"]["edge_attacked"]
    assert attacked["mtf"] == pytest.approx(clean["mtf"], abs=1e-3)
    assert clean["mtf50_per_mm"] < 0.5 / PIXEL_MM
    assert max(found["texture"]["noise"]["power_hu2_mm2"]) > 0
    lower, exact, upper = (row["rho"] for row in found["bracket"]["rows"])
    assert 0.9 * upper < lower <= exact * (1 + 1e-6) <= upper * (1 + 2e-6)


def test_a_structure_is_hidden_by_half_its_own_footprint(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each slice by itself: the same nodule is a larger share of a fainter body."""
    held = []

    def spied(attack: ProjectedGradientAscent, f: Reconstructor, y: Tensor, s: Tensor) -> Tensor:
        delta = hide(attack, f, y, s)
        held.append(relative_norms(delta, case.A(s)))
        return delta

    monkeypatch.setattr(small, "hide", spied)
    examine(["structures"], replace(case, x=torch.cat([case.x[:1], 3 * case.x[:1]])))
    assert torch.stack(held).flatten().tolist() == pytest.approx([0.5] * 4, rel=1e-3)


def test_the_schema_and_the_tables_name_the_same_examinations() -> None:
    (names,) = (field.type for field in fields(EvaluateRecipe) if field.name == "examinations")
    assert get_args(get_args(names)[0]) == tuple(EXAMINATIONS) == tuple(TABLES)


def test_what_cannot_be_made_says_why_and_the_rest_goes_on(case: Case) -> None:
    of_largest = Case(
        lambda y: case.f(y),
        case.A,
        case.y,
        case.x,
        ProjectedGradientAscent(Linf(0.01), steps=2, restarts=1),
        1e5,
        0,
    )
    found = examine(["views", "bracket", "tiny"], of_largest)
    assert "of one scan alone" in found["views"]["not_made"]
    assert "L2 ball" in found["bracket"]["not_made"]
    assert found["tiny"]["steps"] == 100


def test_no_room_for_a_structure_is_said(case: Case) -> None:
    large = replace(case, structures={"too large": Nodule(1000.0, 100.0)})
    assert "no place" in examine(["structures"], large)["structures"]["not_made"]


def test_nodules_are_the_recipes() -> None:
    nodules = load_recipe("tiny", ["evaluate.nodules=[[12, -30]]"]).evaluate.nodules
    assert list(structures(nodules)) == ["nodule of 12 mm, -30 HU", "letters of 24 mm, +100 HU"]
    assert structures(nodules)["nodule of 12 mm, -30 HU"] == Nodule(12.0, -30.0)
    assert "nodule of 16 mm, +50 HU" in structures(load_recipe("tiny").evaluate.nodules)
    with pytest.raises(UserError, match=r"evaluate\.nodules\.0\.0 is -3"):
        load_recipe("tiny", ["evaluate.nodules=[[-3, 100]]"])


def test_more_views_of_whatever_can_be_made_anew(case: Case) -> None:
    """FBP as it is, as a control and as a function of one's own: the same rows; one of its scan alone says so."""
    made: Any = {
        "ours": replace(case),
        "control": replace(case, f=Control(case.A, "fbp", {"window": "hann"})),
        "own": replace(case, f=lambda y: case.f(y), rebuild=lambda A: lambda y: A.fbp(y, "hann")),
    }
    rows = [examine(["views"], each)["views"]["rows"] for each in made.values()]
    assert rows[0] == rows[1] == rows[2]

    def one_scan_alone(A: Projector) -> Reconstructor:
        return {60: case.f}[A.sinogram_shape[0]]

    stuck = examine(["views"], replace(made["own"], rebuild=one_scan_alone))["views"]
    assert stuck["not_made"] == "f could not be made for 30 views: 30"

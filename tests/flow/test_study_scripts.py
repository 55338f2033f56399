"""The scripts that made docs/results still run: their grids are taken, and on tiny runs they print and draw."""

import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from ctrobust.operators.sensing import dct_submatrix
from ctrobust.recipes import load_recipe
from ctrobust.sweep import make_grid, run_sweep

RESULTS = Path(__file__).resolve().parents[2] / "docs/results"
SCRIPTS = sorted(path.stem for path in RESULTS.glob("*.py"))

F = ("network.base_channels=4", "network.levels=3", "threat.base_channels=4", "threat.levels=2")
TRAIN = ("train.steps=2", "train.batch_size=4", "train.precision=fp32", "evaluate.steps=1")
SMALL = (*F, *TRAIN, "evaluate.restarts=1", "evaluate.slices=2", "evaluate.examples=1")
SCAN = ("data.size=32", "scan.views=12")

Script = Callable[..., str]


@pytest.fixture(autouse=True)
def _beside_one_another(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As `python docs/results/NAME.py` finds them: they import one another by name."""
    monkeypatch.syspath_prepend(str(RESULTS))
    yield
    for name in SCRIPTS:
        sys.modules.pop(name, None)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Script:
    """`script("mnist_study", "--out", …)`: run its main, and what it printed."""

    def run(name: str, *arguments: object) -> str:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        imported(name).main()
        return capsys.readouterr().out

    return run


def imported(name: str) -> ModuleType:
    return importlib.import_module(name)


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_says_its_usage(name: str, script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        script(name, "--help")
    assert left.value.code == 0
    assert "usage" in capsys.readouterr().out


def test_every_point_of_the_grids_is_taken(store: Path, digits: Path, tmp_path: Path) -> None:
    """Names apart, so that no run overwrites another; recipes are checked as they are made."""
    mnist, ct = imported("mnist_study"), imported("ct_143")
    for points in (mnist.points(digits), list(ct.points(store, tmp_path))):
        names = [point.name for point in points]
        assert len(names) > 6
        assert len(set(names)) == len(names)


def test_the_recipes_of_the_faces_are_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    faces, grids = imported("faces_study"), []
    monkeypatch.setattr(faces, "run_sweep", lambda points, out: grids.append(points))
    faces.run(None, tmp_path)
    load_recipe("celeba", faces.SMOKE)
    assert [len(points) for points in grids] == [4]
    assert all(list((tmp_path / "photographs" / part).iterdir()) for part in faces.PHOTOGRAPHS)


@pytest.mark.soak
def test_mnist_prints_and_draws(
    digits: Path, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs"
    grid = ("method=erm,minmax", "scan.geometry=gaussian,spectrum", "scan.condition=10", *SMALL)
    assert not run_sweep(make_grid("mnist", grid, store=digits), runs)
    monkeypatch.setattr(imported("mnist_study"), "IMAGES", tmp_path)
    assert "κ = 10" in script("mnist_study", "--out", runs, "--draw")
    assert {path.name for path in tmp_path.glob("*.png")} == {
        *("mnist-methods.png", "mnist-digits.png", "mnist-condition.png"),
    }


@pytest.mark.soak
def test_the_faces_print_and_draw(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faces = imported("faces_study")
    photographs = faces.write_photographs(tmp_path / "photographs")
    # The later of two values of a key.
    keys = dict(
        key.split("=", 1) for key in (*faces.SMALL, *SMALL, "scan.geometry=gaussian", "method=erm,minmax")
    )
    grid = [f"{key}={value}" for key, value in keys.items()]
    assert not run_sweep(make_grid("celeba", grid, store=photographs), tmp_path / "runs/patches")
    monkeypatch.setattr(faces, "IMAGES", tmp_path)
    told = script("faces_study", "--out", tmp_path / "runs", "--draw")
    assert told.count("| gaussian, κ = 3 |") == 3
    assert "random 10 %" in told
    assert (tmp_path / "faces-patches.png").exists()


@pytest.mark.soak
def test_the_studies_of_folds_print_and_draw(store: Path, script: Script, tmp_path: Path) -> None:
    """erm and minmax of two steps, judged by every adversary, against each other and against FBP."""
    runs = tmp_path / "runs"
    assert not run_sweep(make_grid("ct-128", ["method=erm,minmax", *SCAN, *SMALL], store=store), runs)
    few = ("--steps", "1", "--restarts", "1", "--slices", "1")
    told = script("robustness", runs, "--out", tmp_path / "judged", "--controls", "fbp", *few)
    assert "| worst of all |" in told
    assert (tmp_path / "judged/report.html").exists()
    told = script("transfer", runs, "--out", tmp_path / "transfer.png", *few)
    assert "| clean |" in told
    assert (tmp_path / "transfer.png").exists()
    told = script("on_validation", *runs.iterdir(), "--steps", "1")
    assert told.count("attacked") == 2


def test_the_theory_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both operators, the second smaller, a few steps of each training."""
    study = imported("theory")
    monkeypatch.setattr(study, "SEEDS", (0,))
    small, waves = study.cases()
    small = replace(small, shared=(10, 4), per_sample=(10, 8))
    less = dct_submatrix(12, (4, 4), 32, seed=0)
    waves = replace(waves, A=less, shared=(10, 32), per_sample=(10, 32))
    assert len(study.draw_two_by_two(small).axes) == 3
    filters = study.draw_filters((small, waves))
    # Learned on predicted, of each operator, against each kind of δ.
    assert [axes.get_title()[:3] for axes in filters.axes] == ["2 ×", "2 ×", "DCT", "DCT"]
    front = study.draw_trade_off(waves).axes[1]
    truncated = next(line for line in front.lines if line.get_label() == "truncated SVD")
    assert truncated.get_linestyle() == "None"
    assert len(study.draw_training((small, waves)).axes) == 4


@pytest.mark.soak
def test_why_the_measurement_draws() -> None:
    study = imported("why_measurement")
    scene = next(study.scenes())
    rows, off = [study.compare(scene, 0.01)], list(study.mismatches(scene))
    assert rows[0].image <= rows[0].in_range <= rows[0].measurement
    assert len(study.draw({scene.name: rows}, off).axes) == 6

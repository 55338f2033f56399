"""A grid of runs: refused whole or run point by point, gone on with after any end, and one page of all."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ctrobust import sweep
from ctrobust.cli.main import main
from ctrobust.core.errors import UserError
from ctrobust.sweep import make_grid

QUICK = ["train.steps=2", "evaluate.steps=1", "evaluate.examples=0", "evaluate.eps=[0,0.01,0.02]"]


def names(*assignments: str, recipe: str = "tiny") -> list[str]:
    return [point.name for point in make_grid(recipe, assignments)]


def test_every_combination_is_a_point_named_by_what_varies() -> None:
    assert names("method=erm,pgd", "seed=0,1", "train.steps=3") == [
        "method=erm,seed=0",
        "method=erm,seed=1",
        "method=pgd,seed=0",
        "method=pgd,seed=1",
    ]
    assert names("eps=0.01,0.02") == ["method=minmax,eps=0.01", "method=minmax,eps=0.02"]
    assert names(recipe="demo") == ["method=erm", "method=minmax"]


def test_values_reach_the_recipe_and_brackets_hold_together() -> None:
    points = make_grid("tiny", ["evaluate.eps=[0,0.01],[0,0.04]", "eps=0.03", "train.lr=1e-3"])
    assert [point.recipe.evaluate.eps for point in points] == [(0.0, 0.01), (0.0, 0.04)]
    assert [point.name for point in points] == [
        "method=minmax,evaluate.eps=0-0.01",
        "method=minmax,evaluate.eps=0-0.04",
    ]
    assert {(point.recipe.threat.eps, point.recipe.train.lr) for point in points} == {(0.03, 0.001)}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["method=erm,minmx"], "method is 'minmx'"),
        (["seed=0,1", "train.stepz=3"], "did you mean train.steps"),
        (["seed=0,,1"], "give key=value"),
        (["seed"], "give key=value"),
        (["seed=0,1", "seed=2"], "seed: given twice"),
        (["eps=0.01", "threat.eps=0.02"], "threat.eps: given twice"),
        (["seed=1,1"], "method=minmax,seed=1: two points"),
        (["method=[erm,minmax]"], "a point has one"),
        (["data.store=/nowhere/a.h5,/nowhere/b.h5"], "/nowhere/"),
        (["data.split=/nowhere/a.json"], "no such split"),
    ],
)
def test_a_bad_point_is_refused_before_any_run(
    given: list[str], said: str, tmp_path: Path, capsys: Any
) -> None:
    assert main(["sweep", "tiny", *given, "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "point 1" not in err
    assert not (tmp_path / "out").exists()


def test_data_are_given_once(store: Path) -> None:
    with pytest.raises(UserError, match=r"data\.store: given twice"):
        make_grid("tiny", [f"data.store={store}"], store=store)
    (point,) = make_grid("tiny", [], store=store)
    assert point.recipe.data.store == str(store.resolve())


def test_parts_are_the_whole(capsys: Any) -> None:
    lists = []
    for part in (["--part", "1/2"], ["--part", "2/2"], []):
        assert main(["sweep", "tiny", "seed=0,1,2", "--dry-run", *part]) == 0
        lists.append(capsys.readouterr().out.split())
    assert lists[0] == ["method=minmax,seed=0", "method=minmax,seed=2"]
    assert sorted(lists[0] + lists[1]) == lists[2]
    with pytest.raises(SystemExit, match="2"):
        main(["sweep", "tiny", "--part", "3/2"])


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The points that were run, as they are begun; one is interrupted the first time."""
    begun: list[str] = []
    run: Callable[..., Any] = sweep.run_study

    def record(recipe: Any, out: Path) -> Any:
        begun.append(out.name)
        if begun.count("method=erm,network.levels=3,seed=1") == 1 and begun[-1].endswith("levels=3,seed=1"):
            raise KeyboardInterrupt
        return run(recipe, out)

    monkeypatch.setattr(sweep, "run_study", record)
    return begun


def test_a_sweep_goes_on_where_it_stopped_and_ends_in_one_report(
    store: Path, tmp_path: Path, started: list[str], capsys: Any
) -> None:
    """Two points are fine, and two too deep for their images, which shows only when they are opened."""
    out = tmp_path / "out"
    grid = ["method=erm", "network.levels=7,3", "seed=0,1"]
    command = ["sweep", "tiny", *grid, *QUICK, "--data", str(store), "--out", str(out)]
    deep = ["method=erm,network.levels=7,seed=0", "method=erm,network.levels=7,seed=1"]
    fine = ["method=erm,network.levels=3,seed=0", "method=erm,network.levels=3,seed=1"]

    assert main([*command, "--part", "2/2"]) == 130
    assert started == [deep[1], fine[1]]
    assert "repeat the command" in capsys.readouterr().err

    assert main([*command, "--part", "1/2"]) == 2
    assert started[2:] == [deep[0], fine[0]]
    assert not (out / "report.html").exists()
    assert "1 of 4 points are done" in capsys.readouterr().err

    result = (out / fine[0] / "result.json").read_bytes()
    assert main(command) == 2
    assert started[4:] == [*deep, fine[1]]
    assert (out / fine[0] / "result.json").read_bytes() == result
    said = capsys.readouterr()
    last = said.err.strip().splitlines()[-1]
    assert "2 of 4 points failed" in last
    assert all(name in last for name in deep)
    assert "too small for network.levels 7" in last
    assert said.out == f"{out / 'report.html'}\n"
    # The seeds' own splits happen to judge different slices.
    assert "over all slices of 2 folds" in (out / "report.html").read_text()
    assert (out / "figures" / "trade-off.png").exists()

    # Weights that nobody judged are not done; nor is a point of another recipe, which is not begun anew either.
    (out / fine[1] / "result.json").write_text("{}")
    assert main([*command, "train.lr=0.5"]) == 2
    assert started[7:] == [*deep, *fine]
    assert "train.lr differs" in capsys.readouterr().err
    assert main(command) == 2
    assert started[11:] == [*deep, fine[1]]

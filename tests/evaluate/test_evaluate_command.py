"""What `ctrobust evaluate` refuses before it loads anything: names that lose a file, keys that are not the attack's."""

from pathlib import Path

import pytest

from ctrobust.cli.main import main
from ctrobust.recipes import load_recipe, write_recipe


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """As far as the command looks."""
    write_recipe(load_recipe("tiny"), tmp_path / "run" / "recipe.yaml")
    (tmp_path / "run" / "split.json").touch()
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("evaluate.stps=3", "did you mean evaluate.steps?"),
        ("evaluate.steps=0", "evaluate.steps is 0"),
        ("evaluate=3", "only evaluate.* can be given"),
        ("steps=3", "did you mean evaluate.steps?"),
        ("threat.eps=0.1", "did you mean evaluate.eps?"),
        ("train.lr=0.1", "known: evaluate.eps, evaluate.budget"),
        ("evaluate.steps", "give key=value"),
        ("evaluate.controls=[fbp,net]", "evaluate.controls.1 is 'net'"),
        ("evaluate.adversaries=[transfer]", "needs evaluate.transfer_from"),
        ("evaluate.budget=linf", "give yours by --eps"),
        ("evaluate.relative=false", "give yours by --eps"),
    ],
)
def test_only_the_attack_can_be_changed(run: Path, override: str, said: str, capsys) -> None:
    assert main(["evaluate", str(run), override]) == 2
    assert said in capsys.readouterr().err


def test_whitened_needs_a_dose(run: Path, capsys) -> None:
    assert main(["evaluate", str(run), "evaluate.budget=whitened", "--eps", "0,3"]) == 2
    assert "give scan.photons" in capsys.readouterr().err


def test_a_reconstructor_of_ones_own_keeps_off_the_runs_result(run: Path, capsys) -> None:
    assert main(["evaluate", str(run), "--f", "own:make"]) == 2
    assert "give --out RESULT.json too" in capsys.readouterr().err


def test_two_results_never_share_their_examples(run: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "x.examples.npz").write_text("of another result")
    for out, said in (
        ("x", "ends in .json"),
        ("x.npz", "ends in .json"),
        ("x.json", "x.examples.npz: exists"),
    ):
        assert main(["evaluate", str(run), "--out", str(tmp_path / out)]) == 2
        assert said in capsys.readouterr().err
    assert (tmp_path / "x.examples.npz").read_text() == "of another result"

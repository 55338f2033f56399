"""`ctrobust evaluate RUN --f package.module:function`: a reconstructor of one's own, judged like ours."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from ctrobust.cli.main import main
from ctrobust.core.geometry import ParallelBeam
from ctrobust.evaluate.custom import build_reconstructor
from ctrobust.operators import Projector

OWN = """
import torch

number = 3

def fbp(A):
    return lambda y: A.fbp(y)

def module(A):
    class Scaled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(()))
        def forward(self, y):
            return self.scale * A.fbp(y)
    return Scaled()

def detached(A):
    return lambda y: A.fbp(y.detach())

def sinogram(A):
    return lambda y: y

def half(A):
    def f(y):
        image = A.fbp(y)
        return 0.5 * image + 0.5 * image.detach()
    return f

def no_projector():
    return None
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package installed beside ours, with one reconstructor to be found by its name."""
    (tmp_path / "own_ct.py").write_text(OWN)
    information = tmp_path / "own_ct-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: own-ct\nVersion: 1\n")
    (information / "entry_points.txt").write_text("[ctrobust.reconstructors]\nown = own_ct:module\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("own_ct", None)


def test_a_function_of_the_folder_one_stands_in_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unlike a script's, an installed command's sys.path begins with its own folder."""
    (tmp_path / "beside_me.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    A = Projector(ParallelBeam(16, 8))
    f = build_reconstructor("beside_me:fbp", A)
    monkeypatch.delitem(sys.modules, "beside_me")
    assert f(A(torch.ones(1, 1, 16, 16))).shape == (1, 1, 16, 16)


def test_fbp_given_as_ones_own_is_the_reference(own: Path, trained: Path) -> None:
    out = own / "result.json"
    quick = ["evaluate.examinations=[views]"]
    assert main(["evaluate", str(trained), *quick, "--f", "own_ct:fbp", "--out", str(out)]) == 0
    result, born = (json.loads(path.read_text()) for path in (out, trained / "result.json"))
    assert result["method"] == "own_ct:fbp"
    assert result["curve"] == result["reference"]["curve"] == born["reference"]["curve"]
    assert result["clean"] == born["reference"]["clean"]
    assert result["data"] == born["data"]
    assert "weights_sha256" not in result
    # The function is called again for the scans of more views.
    assert [row["views"] for row in result["examinations"]["views"]["rows"]] == [4, 9, 18, 36]


def test_an_installed_one_by_its_name(own: Path, trained: Path, discs: Path) -> None:
    quick = ["evaluate.steps=1", "evaluate.examples=0"]
    by_run, by_recipe = own / "run.json", own / "recipe.json"
    assert main(["evaluate", str(trained), *quick, "--f", "own", "--out", str(by_run)]) == 0
    # The recipe of the run, without the run.
    arguments = [str(trained / "recipe.yaml"), *quick, "--f", "own", "--data", str(discs)]
    assert main(["evaluate", *arguments, "--out", str(by_recipe)]) == 0
    one, other = (json.loads(path.read_text()) for path in (by_run, by_recipe))
    assert one["method"] == "own"
    assert len(one["weights_sha256"]) == 64
    assert one["curve"] == other["curve"]
    assert (own / "recipe.split.json").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("own_ct:detached", "no gradient goes through f"),
        ("own_ct:sinogram", "give a tensor of shape (2, 1, 16, 16)"),
        ("own_ct:number", "is a int"),
        ("own_ct:no_projector", "give a function that takes a Projector"),
        ("own_ct:nothing", "has no attribute"),
        ("nobody:f", "No module named"),
        ("nobody", "no such reconstructor is installed (own)"),
        ("own_ct:half", "differs from finite differences"),
    ],
)
def test_what_cannot_be_judged_is_refused(own: Path, trained: Path, name: str, said: str, capsys) -> None:
    assert main(["evaluate", str(trained), "--f", name, "--out", str(own / "r.json")]) == 2
    assert said in capsys.readouterr().err
    assert not (own / "r.json").exists()

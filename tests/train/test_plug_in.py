"""A method of a package of one's own: found by its entry point, named among the others, trained like them."""

import csv
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lightning_fabric import Fabric

from ctrobust.core.errors import UserError
from ctrobust.experiment import Experiment
from ctrobust.networks.checkpoint import load_checkpoint
from ctrobust.recipes import load_recipe
from ctrobust.train.methods import find_method
from ctrobust.train.run import train_run

METHOD = """
from ctrobust.train.methods import Method


class Brighter(Method):
    '''δ = a y, and a grows by a tenth at each step.'''

    figures = ("share",)

    def __init__(self, recipe, fabric):
        super().__init__(recipe, fabric)
        self.share = recipe.options["share"]

    def perturb(self, f, y, x, samples):
        self.share *= 1.1
        return self.propose(f, y, x, samples), {"share": self.share}

    def propose(self, f, y, x, samples):
        return self.share * y

    def state_dict(self):
        return {"share": self.share}

    def load_state_dict(self, state):
        self.share = state["share"]
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`pip install`, in effect."""
    site = tmp_path / "site"
    described = site / "brighter-1.0.dist-info"
    described.mkdir(parents=True)
    (site / "brighter.py").write_text(METHOD)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: brighter\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text("[ctrobust.methods]\nbrighter = brighter:Brighter\n")
    monkeypatch.syspath_prepend(str(site))
    importlib.invalidate_caches()
    yield
    sys.modules.pop("brighter", None)


def test_it_is_named_among_the_others(package: None) -> None:
    with pytest.raises(UserError, match="minmax, brighter"):
        load_recipe("tiny", ["method=brihter"])
    with pytest.raises(UserError, match="minmax, brighter"):
        find_method("brihter")
    assert find_method("brighter").__name__ == "Brighter"
    assert load_recipe("tiny", ["method=[erm, brighter]"]).method == ("erm", "brighter")


def test_it_trains(package: None, opened: Callable[..., Experiment], fabric: Fabric, tmp_path: Path) -> None:
    train_run(opened("method=brighter", "options.share=0.01"), fabric, tmp_path / "run")
    content = load_checkpoint(tmp_path / "run" / "checkpoints" / "last")
    assert content["adversary"]["share"] == pytest.approx(0.01 * 1.1**6)
    with (tmp_path / "run" / "history.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    for step, row in enumerate(rows, 1):
        shares = float(row["share"]), float(row["delta_rel"])
        assert shares == pytest.approx([0.01 * 1.1**step] * 2, rel=1e-5)
    assert float(rows[-1]["adversarial"]) != float(rows[-1]["clean"])


def test_without_its_package_it_is_unknown() -> None:
    with pytest.raises(UserError, match="give one of erm"):
        load_recipe("tiny", ["method=brighter"])

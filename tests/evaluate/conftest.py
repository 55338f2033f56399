"""A run so small that it is judged in a blink: 12 slices of noisy discs, 9 views of 16×16, two steps of min–max."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ctrobust.cli.main import main
from ctrobust.core.records import SliceRecord
from ctrobust.evaluate.run import evaluate_run
from ctrobust.experiment import Experiment, open_experiment
from ctrobust.recipes import load_recipe
from ctrobust.reconstruct import load
from ctrobust.store import write_store

SMALL = [
    "data.size=16",
    "scan.views=9",
    "network.levels=2",
    "train.steps=2",
    "train.log_to=[]",
    "scan.photons=1e5",
    "data.eval_fraction=0.5",
    "data.val_fraction=0.3",
]


@pytest.fixture(scope="session")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 6 patients with 2 slices of 20×20 each."""
    draw = np.random.default_rng(0)
    rows, columns = np.mgrid[:20, :20] - 9.5
    records = []
    for number in range(12):
        disc = np.hypot(rows, columns) < draw.uniform(5, 9)
        image = np.where(disc, draw.uniform(0, 300), -1000) + 40 * disc * draw.standard_normal((20, 20))
        patient = f"p{number // 2}"
        records.append(
            SliceRecord(
                image.astype(np.float32), patient, patient, float(number), (20.0, 20.0), f"{number:064x}"
            )
        )
    path = tmp_path_factory.mktemp("discs") / "store.h5"
    write_store(path, records)
    return path


@pytest.fixture(scope="session")
def trained(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of minmax, evaluated once."""
    out = tmp_path_factory.mktemp("trained") / "run"
    assert main(["train", "tiny", *SMALL, "--data", str(discs), "--out", str(out)]) == 0
    return out


@pytest.fixture
def opened(trained: Path) -> Callable[..., Experiment]:
    """`opened("evaluate.steps=3", …)`: the run's recipe with these overrides, on its store and split."""

    def open_it(*overrides: str) -> Experiment:
        recipe = load_recipe(str(trained / "recipe.yaml"), overrides)
        return open_experiment(recipe, split=trained / "split.json")

    return open_it


@pytest.fixture
def judge(trained: Path, opened: Callable[..., Experiment]) -> Callable[..., dict[str, Any]]:
    """`judge("evaluate.steps=3", …)`: the result for the run's f with these overrides."""

    def judged(*overrides: str) -> dict[str, Any]:
        result, _ = evaluate_run(load(trained), opened(*overrides), trained / "split.json")
        return result

    return judged

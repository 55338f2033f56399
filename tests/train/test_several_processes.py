"""Two processes are one with twice the batch: f, G, what is validated and what is logged, to rounding."""

import csv
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning_fabric import Fabric
from several import SEVERAL, in_float64, train_several
from variants import equal, flat

from ctrobust.experiment import Experiment
from ctrobust.networks.checkpoint import load_checkpoint
from ctrobust.reconstruct import LearnedReconstructor
from ctrobust.reconstruct.load import build_network
from ctrobust.train.methods.jitter import Jitter
from ctrobust.train.running import make_fabric
from ctrobust.train.validation import validate

SCRIPT = Path(__file__).with_name("several.py")


@pytest.fixture(scope="module")
def runs(slices: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """All runs by one process, and by two."""
    out = tmp_path_factory.mktemp("several")
    launch("torchrun", "--standalone", "--nproc-per-node", "2", SCRIPT, slices, out / "two")
    with in_float64():
        train_several(make_fabric("fp32"), slices, out / "one")
    return out / "one", out / "two"


def launch(program: str, *arguments: str | Path) -> None:
    job = subprocess.run(
        [Path(sys.executable).with_name(program), *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert job.returncode == 0, job.stderr


def test_fabric_run_starts_them_as_well(slices: Path, runs: tuple[Path, Path], tmp_path: Path) -> None:
    """It has made the process group by the time it is asked for one, and torchrun's environment beside its own."""
    two = "run", "--accelerator", "cpu", "--devices", "2", "--main-port", str(free_port())
    launch("fabric", *two, SCRIPT, slices, tmp_path, "frozen batch norm")
    expected, found = (
        load_checkpoint(run / "frozen batch norm" / "checkpoints" / "last") for run in (runs[1], tmp_path)
    )
    assert equal(found["network"], expected["network"])
    assert found["step"] == expected["step"]


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.mark.parametrize("name", SEVERAL)
def test_weights_are_those_of_one(name: str, runs: tuple[Path, Path]) -> None:
    one, two = (load_checkpoint(run / name / "checkpoints" / "last") for run in runs)
    assert one["step"] == two["step"] == 3
    for part in ("network", "adversary"):
        expected, found = (flat(content[part]) for content in (one, two))
        torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", SEVERAL)
def test_figures_are_those_of_one(name: str, runs: tuple[Path, Path]) -> None:
    """Of the validation part, whose slices are shared out; what a step found is the first process's."""
    one, two = (history(run / name) for run in runs)
    assert len(one) == len(two) == 3
    assert one[-1]["val_clean"]
    for expected, found in zip(one, two, strict=True):
        for column in FIGURES:
            told, said = (float(row[column] or "nan") for row in (expected, found))
            # An increase is a difference of errors.
            least = 1e-6 * float(one[-1]["val_clean"])
            assert said == pytest.approx(told, rel=1e-6, abs=least, nan_ok=True), column


def test_each_process_judges_its_share(
    opened: Callable[..., Experiment], fabric: Fabric, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment, met = opened("method=jitter", "data.val_fraction=0.6"), []
    slices, measure = list(experiment.split.val), Experiment.measure
    monkeypatch.setattr(
        Experiment, "measure", lambda self, x, indices: (met.extend(indices), measure(self, x, indices))[1]
    )
    f = LearnedReconstructor(experiment.projector, build_network(experiment.recipe))
    method = Jitter(experiment.recipe, fabric)
    method.begin(0, 1)
    for rank in range(3):
        alone = SimpleNamespace(
            global_rank=rank,
            world_size=3,
            device=fabric.device,
            broadcast=lambda value: value,
            all_reduce=lambda value, reduce_op: value,
        )
        met.clear()
        validate(f, method, experiment, alone)  # type: ignore[arg-type]
        assert met == slices[rank::3]


FIGURES = ["step", "epoch", "lr", "val_clean", "val_adversarial", "found", "found_1", "found_5", "found_20"]


def history(run: Path) -> list[dict[str, str]]:
    with (run / "history.csv").open() as stream:
        return list(csv.DictReader(stream))

"""Two processes under torchrun: the attacks are shared out, and what they find is what one process finds."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ctrobust.cli.main import main

Start = Callable[..., subprocess.Popen[str]]

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def held_to(one: Path, two: Path) -> None:
    """Equal to the bit, but for how they were born."""
    results = [json.loads(path.read_text()) for path in (one, two)]
    assert [result.pop("provenance")["threads"] for result in results] == [1, 1]
    assert results[0] == results[1]
    examples = [np.load(path.with_suffix(".examples.npz")) for path in (one, two)]
    assert examples[0].files == examples[1].files
    for name in examples[0].files:
        np.testing.assert_array_equal(examples[0][name], examples[1][name], name)


def test_two_processes_judge_as_one(store: Path, command: Start, tmp_path: Path) -> None:
    """At the end of training, and by `ctrobust evaluate`; three batches, so that the shares are unequal."""
    quick = ("train.steps=2", "train.batch_size=2", "evaluate.steps=2", "evaluate.batch_size=2")
    trained = command("train", "tiny", "--data", store, "--out", "run", *quick, before=TORCHRUN)
    out, err = trained.communicate(timeout=180)
    assert trained.returncode == 0, err
    assert out.count("report.html") == 1
    assert "attack minmax: 2/2" in err
    assert err.count("batch norm: on CPUs") == 1
    run, again = tmp_path / "run", tmp_path / "again.json"
    assert main(["evaluate", str(run), "--out", str(again)]) == 0
    held_to(again, run / "result.json")

    other = ["evaluate.steps=3", "evaluate.restarts=2", "evaluate.examples=5"]
    job = command("evaluate", run, "--out", "two.json", *other, before=TORCHRUN)
    out, err = job.communicate(timeout=180)
    assert job.returncode == 0, err
    assert out.count("rho minmax") == 1
    # The first process has two of the three batches, and five of the ten pieces of the checks.
    assert "attack minmax: 2/2" in err
    assert "check the attack on f: 5/5" in err
    one = tmp_path / "one.json"
    assert main(["evaluate", str(run), "--out", str(one), *other]) == 0
    held_to(one, tmp_path / "two.json")
    attack = json.loads(one.read_text())["attack"]
    assert (attack["steps"], attack["restarts"]) == (3, 2)

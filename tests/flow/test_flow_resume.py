"""kill -9 in the middle of training, --resume: bit-equal to a run that nobody disturbed."""

import json
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ctrobust.cli.main import main
from ctrobust.networks.checkpoint import load_checkpoint

Start = Callable[..., subprocess.Popen[str]]

STEPS = ["train.steps=30", "train.checkpoint_every=3", "evaluate.steps=1"]
VARIANTS = {
    "as published": ["threat.ball=hinge", "threat.sees=sinogram", "train.precision=fp32"],
    "ours": [
        "threat.ball=project",
        "threat.sees=gradient",
        "train.precision=bf16",
        "threat.steps_per_update=2",
    ],
}


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def state(run: Path, which: str) -> dict[str, Any]:
    """All of a checkpoint but the clock."""
    return {
        key: value for key, value in load_checkpoint(run / "checkpoints" / which).items() if key != "seconds"
    }


def history(run: Path) -> list[list[str]]:
    """Rows without the clock."""
    rows = [line.split(",") for line in (run / "history.csv").read_text().splitlines()]
    return [row[:2] + row[3:] for row in rows]


def kill_and_resume(
    command: Start, arguments: tuple[object, ...], folder: Path, ready: Callable[[], bool]
) -> bool:
    """Kill once `ready`, resume to the end; returns whether there still was something to kill."""
    job = command(*arguments)
    while job.poll() is None and not ready():
        time.sleep(0.005)
    killed = job.poll() is None
    job.kill()
    job.communicate()
    again = command(*arguments, "--resume")
    _, err = again.communicate(timeout=180)
    assert again.returncode == 0, err
    return killed


@pytest.fixture(scope="module", params=list(VARIANTS.values()), ids=list(VARIANTS))
def recipe(request: pytest.FixtureRequest, store: Path) -> tuple[str, ...]:
    return "train", "tiny", "--data", str(store), *STEPS, *request.param


@pytest.fixture(scope="module")
def undisturbed(recipe: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert main([*recipe, "--out", str(out)]) == 0
    finally:
        torch.set_num_threads(threads)
    return out


def held_to(undisturbed: Path, run: Path) -> None:
    assert same(state(run, "last"), state(undisturbed, "last"))
    assert same(state(run, "best"), state(undisturbed, "best"))
    assert history(run) == history(undisturbed)
    assert (run / "split.json").read_bytes() == (undisturbed / "split.json").read_bytes()
    results = [json.loads((folder / "result.json").read_text()) for folder in (run, undisturbed)]
    assert results[0] == results[1]


def test_a_killed_run_resumes_to_the_same_weights(
    undisturbed: Path, recipe: tuple[str, ...], command: Start, tmp_path: Path
) -> None:
    last = tmp_path / "run" / "checkpoints" / "last"

    def ready() -> bool:
        return last.exists() and load_checkpoint(last)["step"] >= 6

    assert kill_and_resume(command, (*recipe, "--out", tmp_path / "run"), tmp_path / "run", ready)
    held_to(undisturbed, tmp_path / "run")


@pytest.mark.soak
@pytest.mark.parametrize("case", range(10))
def test_a_run_killed_at_any_moment_resumes_to_the_same_weights(
    undisturbed: Path, recipe: tuple[str, ...], command: Start, tmp_path: Path, case: int
) -> None:
    """From before the first checkpoint to the evaluation and the report."""
    folder, began = tmp_path / "run", time.monotonic()
    delay = random.Random(case).uniform(0, 3)

    def ready() -> bool:
        nonlocal began
        if not folder.exists():
            began = time.monotonic()
        return time.monotonic() - began > delay

    kill_and_resume(command, (*recipe, "--out", folder), folder, ready)
    held_to(undisturbed, folder)


def test_another_recipe_is_not_resumed(undisturbed: Path, recipe: tuple[str, ...], capsys) -> None:
    before = state(undisturbed, "last")
    assert main([*recipe, "--out", str(undisturbed), "--resume", "train.lr=0.1"]) == 2
    assert "train.lr differs" in capsys.readouterr().err
    assert same(state(undisturbed, "last"), before)

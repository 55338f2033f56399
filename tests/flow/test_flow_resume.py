"""kill -9 in the middle of training, --resume: bit-equal to a run that nobody disturbed."""

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

STEPS = ["train.steps=30", "train.checkpoint_every=3", "threat.sees=gradient", "evaluate.steps=1"]


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


def kill_and_resume(command: Start, store: Path, folder: Path, after: int) -> None:
    arguments = ("train", "tiny", "--data", store, "--out", folder, *STEPS)
    job = command(*arguments)
    last = folder / "checkpoints" / "last"
    while job.poll() is None and (not last.exists() or load_checkpoint(last)["step"] < after):
        time.sleep(0.02)
    assert job.poll() is None, f"training ended before it could be killed: {job.communicate()[1]}"
    job.kill()
    job.wait()
    assert load_checkpoint(last)["step"] < 30
    again = command(*arguments, "--resume")
    _, err = again.communicate(timeout=180)
    assert again.returncode == 0, err


@pytest.fixture(scope="module")
def undisturbed(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert main(["train", "tiny", "--data", str(store), "--out", str(out), *STEPS]) == 0
    finally:
        torch.set_num_threads(threads)
    return out


def held_to(undisturbed: Path, run: Path) -> None:
    assert same(state(run, "last"), state(undisturbed, "last"))
    assert same(state(run, "best"), state(undisturbed, "best"))
    assert history(run) == history(undisturbed)
    assert (run / "split.json").read_bytes() == (undisturbed / "split.json").read_bytes()


def test_a_killed_run_resumes_to_the_same_weights(
    undisturbed: Path, store: Path, command: Start, tmp_path: Path
) -> None:
    kill_and_resume(command, store, tmp_path / "run", after=6)
    held_to(undisturbed, tmp_path / "run")


@pytest.mark.soak
@pytest.mark.parametrize("case", range(10))
def test_a_run_killed_at_any_moment_resumes_to_the_same_weights(
    undisturbed: Path, store: Path, command: Start, tmp_path: Path, case: int
) -> None:
    kill_and_resume(command, store, tmp_path / "run", after=random.Random(case).randrange(1, 16))
    held_to(undisturbed, tmp_path / "run")


def test_another_recipe_is_not_resumed(undisturbed: Path, store: Path, capsys) -> None:
    before = state(undisturbed, "last")
    arguments = [
        "train",
        "tiny",
        "--data",
        str(store),
        "--out",
        str(undisturbed),
        "--resume",
        *STEPS,
        "train.lr=0.1",
    ]
    assert main(arguments) == 2
    assert "train.lr differs" in capsys.readouterr().err
    assert same(state(undisturbed, "last"), before)

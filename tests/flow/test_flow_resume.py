"""Killed or stopped in the middle of training, --resume: bit-equal to a run that nobody disturbed."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from ctrobust.cli.main import main
from ctrobust.networks.checkpoint import load_checkpoint

Start = Callable[..., subprocess.Popen[str]]
Victim = Callable[[subprocess.Popen[str]], bool]
"""Kills of a job what it stands for; whether that met it alive."""

STEPS = ["train.steps=24", "train.checkpoint_every=3", "evaluate.steps=1"]
VARIANTS = [
    pytest.param(
        ["threat.ball=hinge", "threat.sees=sinogram", "train.precision=fp32"],
        id="as published",
        marks=pytest.mark.soak,
    ),
    pytest.param(
        ["threat.sees=gradient", "threat.groups=2", "train.precision=bf16", "threat.steps_per_update=2"],
        id="ours",
    ),
]
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


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


def until(job: subprocess.Popen[str], ready: Callable[[], bool]) -> bool:
    """Waits; returns whether the job still runs then."""
    while job.poll() is None and not ready():
        time.sleep(0.005)
    return job.poll() is None


def reached(run: Path, step: int) -> Callable[[], bool]:
    last = run / "checkpoints" / "last"
    return lambda: last.exists() and load_checkpoint(last)["step"] >= step


def after(folder: Path, seconds: float) -> Callable[[], bool]:
    """So long after the folder was made, or was there."""
    began: list[float] = []

    def ready() -> bool:
        if folder.exists() and not began:
            began.append(time.monotonic())
        return bool(began) and time.monotonic() - began[0] > seconds

    return ready


def finish(job: subprocess.Popen[str]) -> None:
    _, err = job.communicate(timeout=300)
    assert job.returncode == 0, err


@pytest.fixture(scope="module", params=VARIANTS)
def recipe(request: pytest.FixtureRequest, store: Path) -> tuple[str, ...]:
    return "train", "tiny", "--data", str(store), *STEPS, *request.param


def go_on(recipe: tuple[str, ...], run: Path) -> None:
    """As its users do, but in this process, which has read its libraries already."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert main([*recipe, "--out", str(run), "--resume"]) == 0
    finally:
        torch.set_num_threads(threads)


def timed(
    start: Start, recipe: tuple[str, ...], run: Path, before: tuple[str, ...] = ()
) -> tuple[Path, float]:
    """The run that nobody disturbed, and the seconds from its folder to its end."""
    job = start(*recipe, "--out", "run", before=before, folder=run.parent)
    assert until(job, run.exists)
    began = time.monotonic()
    finish(job)
    return run, time.monotonic() - began


@pytest.fixture(scope="module")
def timed_undisturbed(
    launch: Start, recipe: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, float]:
    return timed(launch, recipe, tmp_path_factory.mktemp("undisturbed") / "run")


@pytest.fixture(scope="module")
def undisturbed(timed_undisturbed: tuple[Path, float]) -> Path:
    return timed_undisturbed[0]


def held_to(undisturbed: Path, run: Path) -> None:
    assert same(state(run, "last"), state(undisturbed, "last"))
    assert same(state(run, "best"), state(undisturbed, "best"))
    assert history(run) == history(undisturbed)
    assert (run / "split.json").read_bytes() == (undisturbed / "split.json").read_bytes()
    results = [json.loads((folder / "result.json").read_text()) for folder in (run, undisturbed)]
    # The commit, which may move on meanwhile.
    assert results[0].pop("provenance").keys() == results[1].pop("provenance").keys()
    assert results[0] == results[1]


def test_a_run_killed_and_stopped_in_turn_resumes_to_the_same_weights(
    undisturbed: Path, recipe: tuple[str, ...], command: Start, tmp_path: Path
) -> None:
    """By kill -9, by Ctrl-C, by SIGTERM: the last two are told how to go on, and lose no step."""
    run = tmp_path / "run"
    whole = (*recipe, "--out", str(run))
    for number, step, status in (
        (signal.SIGKILL, 3, -signal.SIGKILL),
        (signal.SIGINT, 9, 130),
        (signal.SIGTERM, 15, 143),
    ):
        job = command(*whole, "--resume")
        assert until(job, reached(run, step))
        job.send_signal(number)
        _, err = job.communicate(timeout=60)
        assert job.returncode == status, err
        assert "Traceback" not in err
        if number is signal.SIGINT:
            assert (
                f"stopped; to go on from the last checkpoint, repeat the command with --out {run} --resume"
                in err
            )
    go_on(recipe, run)
    held_to(undisturbed, run)


def killed(start: Callable[[], subprocess.Popen[str]], run: Path, moment: float, victim: Victim) -> None:
    """Until a kill has met a job that was at work: one that was quicker than its kill is tried again, half as late."""
    while True:
        job = start()
        if until(job, after(run, moment)):
            died = victim(job)
            job.communicate(timeout=120)
            if died:
                return
        job.communicate(timeout=120)
        shutil.rmtree(run)
        moment /= 2


def itself(job: subprocess.Popen[str]) -> bool:
    job.kill()
    return job.wait() == -signal.SIGKILL


@pytest.mark.parametrize("case", [0, *(pytest.param(case, marks=pytest.mark.soak) for case in range(1, 10))])
def test_a_run_killed_at_any_moment_resumes_to_the_same_weights(
    timed_undisturbed: tuple[Path, float],
    recipe: tuple[str, ...],
    command: Start,
    tmp_path: Path,
    case: int,
) -> None:
    """From before the first checkpoint to the evaluation and the report."""
    (undisturbed, seconds), run = timed_undisturbed, tmp_path / "run"
    killed(
        lambda: command(*recipe, "--out", run), run, random.Random(case).uniform(0, seconds), victim=itself
    )
    go_on(recipe, run)
    held_to(undisturbed, run)


@pytest.fixture(scope="module")
def two_undisturbed(
    launch: Start, recipe: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, float]:
    return timed(launch, recipe, tmp_path_factory.mktemp("two") / "run", before=TORCHRUN)


def one_of_two(draw: random.Random) -> Victim:
    """A worker, whom the launcher takes the other one after."""

    def victim(job: subprocess.Popen[str]) -> bool:
        workers = processes_of(job.pid)
        if len(workers) < 2:
            return False
        os.kill(draw.choice(workers), signal.SIGKILL)
        return job.wait() != 0

    return victim


def the_launcher(draw: random.Random) -> Victim:
    """And the two a little later, who meanwhile go on by themselves."""

    def victim(job: subprocess.Popen[str]) -> bool:
        workers = processes_of(job.pid)
        died = itself(job)
        time.sleep(draw.uniform(0, 0.5))
        for worker in workers:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        return died

    return victim


@pytest.mark.soak
@pytest.mark.parametrize("case", range(10))
def test_of_two_processes_one_is_killed_at_any_moment(
    two_undisturbed: tuple[Path, float], recipe: tuple[str, ...], command: Start, tmp_path: Path, case: int
) -> None:
    """Or the launcher of both, in turn; both resume."""
    (undisturbed, seconds), run, draw = two_undisturbed, tmp_path / "run", random.Random(case)
    moment = draw.uniform(0, seconds)
    victim = (one_of_two, the_launcher)[case % 2](draw)
    killed(lambda: command(*recipe, "--out", run, before=TORCHRUN), run, moment, victim=victim)
    finish(command(*recipe, "--out", run, "--resume", before=TORCHRUN))
    held_to(undisturbed, run)


@pytest.mark.soak
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_two_processes_stop_together(
    two_undisturbed: tuple[Path, float],
    recipe: tuple[str, ...],
    command: Start,
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    """Though the signal reaches each at a moment of its own; one sent in the last steps comes too late, and is sent
    again to another run."""
    for attempt in range(5):
        run = tmp_path / f"run-{attempt}"
        job = command(*recipe, "--out", run, before=TORCHRUN)
        assert until(job, reached(run, 6))
        job.send_signal(number)
        in_time = load_checkpoint(run / "checkpoints" / "last")["step"] <= 18
        _, err = job.communicate(timeout=120)
        assert job.returncode != 0
        if in_time:
            break
    assert in_time
    assert 6 <= load_checkpoint(run / "checkpoints" / "last")["step"] < 24, err
    finish(command(*recipe, "--out", run, "--resume", before=TORCHRUN))
    held_to(two_undisturbed[0], run)


def processes_of(launcher: int) -> list[int]:
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    return [int(child) for child in children]


def test_another_recipe_is_not_resumed(undisturbed: Path, recipe: tuple[str, ...], capsys) -> None:
    before = state(undisturbed, "last")
    assert main([*recipe, "--out", str(undisturbed), "--resume", "train.lr=0.1"]) == 2
    assert "train.lr differs" in capsys.readouterr().err
    assert same(state(undisturbed, "last"), before)

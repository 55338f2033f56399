"""TensorBoard, W&B and MLflow are told what history.csv is told, and told before training where they are missing."""

import csv
import importlib.machinery
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from lightning_fabric import Fabric
from tensorboardX.proto.event_pb2 import Event, SessionLog

from ctrobust import study
from ctrobust.core.errors import UserError
from ctrobust.experiment import Experiment
from ctrobust.train import loop
from ctrobust.train.run import train_run

Open = Callable[..., Experiment]
Told = dict[int, dict[str, float]]


def history(run: Path) -> Told:
    with (run / "history.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    return {
        int(row.pop("step")): {name: float(value) for name, value in row.items() if value} for row in rows
    }


def events(run: Path) -> Told:
    """What TensorBoard would show: a session that starts at a step takes back what earlier ones told from there on."""
    found: Told = {}
    for path in sorted((run / "tensorboard").iterdir(), key=lambda path: path.name):
        data, place = path.read_bytes(), 0
        while place < len(data):
            (length,) = struct.unpack_from("<Q", data, place)
            event = Event.FromString(data[place + 12 : place + 12 + length])
            place += length + 16
            if event.session_log.status == SessionLog.START:
                found = {step: told for step, told in found.items() if step < event.step}
            for value in event.summary.value:
                assert value.tag not in found.get(event.step, {}), "told twice"
                found.setdefault(event.step, {})[value.tag] = value.simple_value
    return found


def agree(told: Told, run: Path) -> None:
    expected = history(run)
    assert told.keys() == expected.keys()
    for step, figures in expected.items():
        assert told[step] == pytest.approx(figures, rel=1e-6)


def broken_off(
    monkeypatch: pytest.MonkeyPatch, experiment: Experiment, fabric: Fabric, run: Path, step: int = 5
) -> None:
    """Killed after that step; the only checkpoint is of step 3."""
    real = loop.take_step

    def take_step(training: Any, *batch: Any) -> Any:
        if training.step == step:
            raise KeyboardInterrupt
        return real(training, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "take_step", take_step)
        with pytest.raises(KeyboardInterrupt):
            train_run(experiment, fabric, run)


@pytest.mark.parametrize("step", [2, 5])
def test_tensorboard_is_told_and_takes_back_what_a_kill_undid(
    step: int, opened: Open, fabric: Fabric, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = opened("method=minmax", "threat.ball=hinge", "train.log_to=[tensorboard]")
    broken_off(monkeypatch, experiment, fabric, tmp_path, step)
    assert set(events(tmp_path)) == set(range(1, step + 1))
    files = list((tmp_path / "tensorboard").iterdir())
    # Files are told apart by the second in which they were begun.
    for path in files:
        path.rename(path.with_name(path.name.replace("tfevents.", "tfevents.0")))
    train_run(experiment, fabric, tmp_path)
    assert len(list((tmp_path / "tensorboard").iterdir())) == 2
    agree(events(tmp_path), tmp_path)
    last = events(tmp_path)[6]
    named = {
        "clean",
        "adversarial",
        "delta_rel",
        "outside",
        "lambda_2",
        "lr",
        "val_clean",
        "found",
        "found_20",
    }
    assert named <= set(last)


def installed(monkeypatch: pytest.MonkeyPatch, name: str, **content: Any) -> None:
    module = ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    vars(module).update(content)
    monkeypatch.setitem(sys.modules, name, module)


def test_weights_and_biases_goes_on_with_the_same_run(
    opened: Open, fabric: Fabric, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: Told = {}
    begun: list[dict[str, Any]] = []
    ended: list[bool] = []

    def init(**options: Any) -> SimpleNamespace:
        begun.append(options)
        return SimpleNamespace(
            log=lambda figures, step: told.__setitem__(step, figures), finish=lambda: ended.append(True)
        )

    installed(monkeypatch, "wandb", init=init)
    experiment = opened("method=erm", "train.log_to=[wandb]")
    broken_off(monkeypatch, experiment, fabric, tmp_path)
    train_run(experiment, fabric, tmp_path)
    agree(told, tmp_path)
    assert len(begun) == len(ended) == 2
    assert begun[0]["id"] == begun[1]["id"]
    assert begun[0]["resume"] == "allow"
    assert begun[0]["config"]["train"]["steps"] == 6
    # Where a store lies may name a person or a hospital.
    assert str(experiment.recipe.data.store) not in str(begun[0]["config"])


def test_mlflow_goes_on_with_the_same_run(
    opened: Open, fabric: Fabric, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: Told = {}
    begun: list[dict[str, Any]] = []
    params: dict[str, Any] = {}

    def search_runs(filter_string: str, output_format: str) -> list[SimpleNamespace]:
        assert output_format == "list"
        known = [each["tags"]["folder"] for each in begun if "tags" in each]
        return [SimpleNamespace(info=SimpleNamespace(run_id="7")) for tag in known if tag in filter_string]

    installed(
        monkeypatch,
        "mlflow",
        set_experiment=lambda name: None,
        search_runs=search_runs,
        start_run=lambda **options: begun.append(options),
        log_params=params.update,
        log_metrics=lambda figures, step: told.__setitem__(step, figures),
        end_run=lambda: None,
    )
    experiment = opened("method=erm", "train.log_to=[mlflow]")
    broken_off(monkeypatch, experiment, fabric, tmp_path)
    train_run(experiment, fabric, tmp_path)
    agree(told, tmp_path)
    assert begun[1] == {"run_id": "7"}
    assert (params["method"], params["train.steps"]) == ("erm", 6)
    assert str(experiment.recipe.data.store) not in str(params)


@pytest.mark.parametrize("where", ["init", "log", "finish"])
def test_who_fails_is_told_of_once_and_left_out(
    where: str, opened: Open, fabric: Fabric, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """Nothing of the training changes, and those beside it are told all."""

    def act(name: str, answer: Any = None) -> Any:
        if name == where:
            raise ConnectionError("no route\nto host")
        return answer

    run = SimpleNamespace(log=lambda *_, step: act("log"), finish=lambda: act("finish"))
    installed(monkeypatch, "wandb", init=lambda **_: act("init", run))
    train_run(opened("method=erm", "train.log_to=[wandb, tensorboard]"), fabric, tmp_path)
    said = "train.log_to wandb: ConnectionError: no route to host; training goes on without it"
    assert capsys.readouterr().err.count(said) == 1
    assert set(history(tmp_path)) == set(range(1, 7))
    agree(events(tmp_path), tmp_path)


@pytest.mark.parametrize(("name", "package"), [("wandb", "wandb"), ("mlflow", "mlflow")])
def test_what_is_not_installed_is_told_before_training(
    name: str, package: str, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=f"train.log_to {name}: not installed; `pip install {package}`"):
        study.run_study(opened("method=erm", f"train.log_to=[tensorboard, {name}]").recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()

"""The figures of a run, sent to where people watch: TensorBoard, and W&B or MLflow where they are installed."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from ctrobust.core.errors import UserError
from ctrobust.core.progress import say
from ctrobust.recipes.schema import Recipe


class Watcher(Protocol):
    def add(self, step: int, figures: dict[str, float]) -> None: ...

    def close(self) -> None: ...


class _TensorBoard:
    """Written in this thread: a SummaryWriter's own ends on a full disk, and its queue then holds up the training."""

    def __init__(self, recipe: Recipe, out: Path, step: int) -> None:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        (out / "tensorboard").mkdir(parents=True, exist_ok=True)
        self._writer = EventsWriter(str(out / "tensorboard" / "events"))
        # A run that goes on takes back what it had written after its checkpoint, or before it had one.
        self._write(Event(step=step + 1, session_log=SessionLog(status=SessionLog.START)))

    def add(self, step: int, figures: dict[str, float]) -> None:
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=name, simple_value=value) for name, value in figures.items()]
        self._write(Event(step=step, summary=Summary(value=values)))

    def close(self) -> None:
        self._writer.close()

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        self._writer.write_event(event)
        self._writer.flush()


class _WeightsAndBiases:
    def __init__(self, recipe: Recipe, out: Path, step: int) -> None:
        import wandb

        self._run = wandb.init(
            project="ctrobust",
            name=out.name,
            id=_identity(out),
            resume="allow",
            dir=out,
            config=_plain(recipe),
        )

    def add(self, step: int, figures: dict[str, float]) -> None:
        self._run.log(figures, step=step)

    def close(self) -> None:
        self._run.finish()


class _MLflow:
    def __init__(self, recipe: Recipe, out: Path, step: int) -> None:
        import mlflow

        mlflow.set_experiment("ctrobust")
        self._mlflow, earlier = (
            mlflow,
            mlflow.search_runs(filter_string=f"tags.folder = '{_identity(out)}'", output_format="list"),
        )
        if earlier:
            mlflow.start_run(run_id=earlier[0].info.run_id)
            return
        mlflow.start_run(run_name=out.name, tags={"folder": _identity(out)})
        for section, keys in _plain(recipe).items():
            mlflow.log_params(
                {f"{section}.{key}": value for key, value in keys.items()}
                if isinstance(keys, dict)
                else {section: keys}
            )

    def add(self, step: int, figures: dict[str, float]) -> None:
        self._mlflow.log_metrics(figures, step=step)

    def close(self) -> None:
        self._mlflow.end_run()


_WATCHERS: dict[str, tuple[str, Callable[[Recipe, Path, int], Watcher]]] = {
    "tensorboard": ("tensorboardX", _TensorBoard),
    "wandb": ("wandb", _WeightsAndBiases),
    "mlflow": ("mlflow", _MLflow),
}


def require_watchers(names: tuple[str, ...]) -> None:
    """Raises UserError, before anything is trained, where one is not installed."""
    for name in names:
        package = _WATCHERS[name][0]
        if find_spec(package) is None:
            raise UserError(f"train.log_to {name}: not installed; `pip install {package}`, or leave it out")


class Watching:
    """Those of `recipe.train.log_to`, for a run that begins, or goes on, at `step`.

    One that fails is told of once and left out from then on: it ends no training and hides no other error.
    """

    def __init__(self, recipe: Recipe, out: Path, step: int) -> None:
        self._watchers: dict[str, Watcher] = {}
        for name in recipe.train.log_to:
            with self._spared(name):
                self._watchers[name] = _WATCHERS[name][1](recipe, out, step)

    def add(self, step: int, figures: dict[str, float]) -> None:
        for name, watcher in tuple(self._watchers.items()):
            with self._spared(name):
                watcher.add(step, figures)

    def close(self) -> None:
        for name, watcher in tuple(self._watchers.items()):
            with self._spared(name):
                watcher.close()

    @contextmanager
    def _spared(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever a service far away may raise
            self._watchers.pop(name, None)
            why = " ".join(f"{type(error).__name__}: {error}".split())
            say(f"train.log_to {name}: {why}; training goes on without it")


def _identity(out: Path) -> str:
    """The same when the run goes on, and no path."""
    import hashlib

    return hashlib.sha256(str(out.resolve()).encode()).hexdigest()[:16]


def _plain(recipe: Recipe) -> dict[str, Any]:
    plain = dataclasses.asdict(recipe)
    # Where the data lie is nobody's business but the run's.
    plain["data"] |= {"store": None, "split": None}
    return plain

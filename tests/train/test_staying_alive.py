"""Runs that are stopped, run into trouble or are older than the code: what is left can always be gone on from."""

import csv
import resource
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from lightning_fabric import Fabric
from out_of_memory import each_way
from variants import VARIANTS, equal

from ctrobust import study
from ctrobust.core.errors import UserError
from ctrobust.experiment import Experiment
from ctrobust.networks.checkpoint import load_checkpoint, save_checkpoint
from ctrobust.recipes import read_recipe
from ctrobust.reconstruct import load
from ctrobust.store.reader import Store
from ctrobust.train import loop
from ctrobust.train.run import train_run

Open = Callable[..., Experiment]
Fit = Callable[[Experiment, Path], None]


@pytest.fixture
def fit(fabric: Fabric) -> Fit:
    return lambda experiment, out: train_run(experiment, fabric, out)


def state(run: Path, which: str = "last") -> dict[str, Any]:
    """All of a checkpoint but the clock."""
    content = load_checkpoint(run / "checkpoints" / which)
    return {key: value for key, value in content.items() if key != "seconds"}


def history(run: Path) -> list[dict[str, str]]:
    with (run / "history.csv").open() as stream:
        return [row | {"seconds": ""} for row in csv.DictReader(stream)]


def during(monkeypatch: pytest.MonkeyPatch, step: int, happen: Callable[[], object]) -> None:
    """`happen` in the middle of that step, once."""
    real, left = loop.take_step, [step]

    def take_step(training: Any, *batch: Any) -> Any:
        figures = real(training, *batch)
        if training.step + 1 in left:
            left.clear()
            happen()
        return figures

    monkeypatch.setattr(loop, "take_step", take_step)


def kill(number: signal.Signals) -> Callable[[], None]:
    return lambda: signal.raise_signal(number)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_method_stopped_and_resumed_ends_as_if_nobody_had(
    name: str, opened: Open, fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit: weights, statistics, both optimisers, G, the best one, the history."""
    noisy = ["scan.photons=1e4", "threat.ramp=0.5", "train.patience=50"]
    experiment = opened(*VARIANTS[name], *noisy)
    fit(experiment, tmp_path / "whole")
    during(monkeypatch, 4, kill(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        fit(experiment, tmp_path / "parts")
    assert state(tmp_path / "parts")["step"] == 4
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    fit(experiment, tmp_path / "parts")
    for which in ("last", "best"):
        assert equal(state(tmp_path / "parts", which), state(tmp_path / "whole", which))
    assert history(tmp_path / "parts") == history(tmp_path / "whole")
    assert [row["step"] for row in history(tmp_path / "whole")] == ["1", "2", "3", "4", "5", "6"]


@pytest.mark.parametrize(
    "options", [["data.crop=true"], ["train.accumulate=2"], ["network.norm=group", "train.schedule=log"]]
)
def test_so_does_every_way_to_load_and_to_step(
    options: list[str], opened: Open, fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = opened("method=minmax", *options)
    fit(experiment, tmp_path / "whole")
    during(monkeypatch, 2, kill(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        fit(experiment, tmp_path / "parts")
    fit(experiment, tmp_path / "parts")
    assert equal(state(tmp_path / "parts"), state(tmp_path / "whole"))


def test_crops_are_of_everywhere(
    opened: Open, fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not of the middle alone, which is what is judged."""
    seen: list[torch.Tensor] = []
    measure = Experiment.measure

    def watch(self: Experiment, x: torch.Tensor, indices: Any) -> torch.Tensor:
        seen.extend(zip(indices, x.cpu(), strict=True))  # type: ignore[arg-type]
        return measure(self, x, indices)

    monkeypatch.setattr(Experiment, "measure", watch)
    experiment = opened("method=erm", "data.crop=true", "train.flips=false")
    fit(experiment, tmp_path)
    part = set(experiment.split.train)
    assert experiment.projector.geometry.pixel_mm == 5.0
    shown = {image.numpy().tobytes() for index, image in seen if index in part}
    assert len(shown) > 2 * len(part)


def test_sigterm_ends_with_its_own_status(
    opened: Open, fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    during(monkeypatch, 1, kill(signal.SIGTERM))
    with pytest.raises(SystemExit) as end:
        fit(opened("method=erm"), tmp_path)
    assert end.value.code == 143
    # Usable before the first one that is judged, too.
    assert state(tmp_path, "best")["step"] == state(tmp_path)["step"] == 1


def test_a_second_ctrl_c_does_not_wait(
    opened: Open, fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def twice() -> None:
        kill(signal.SIGINT)()
        kill(signal.SIGINT)()

    during(monkeypatch, 1, twice)
    with pytest.raises(KeyboardInterrupt):
        fit(opened("method=erm"), tmp_path)
    assert not (tmp_path / "checkpoints").exists()


def test_ctrl_c_while_the_last_step_is_judged_is_not_lost(
    opened: Open, fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = loop.validate

    def validate(*arguments: Any) -> Any:
        kill(signal.SIGINT)()
        return real(*arguments)

    monkeypatch.setattr(loop, "validate", validate)
    with pytest.raises(KeyboardInterrupt):
        fit(opened("method=erm", "train.steps=3"), tmp_path)
    assert state(tmp_path)["step"] == 3


def test_patience_ends_a_run_and_it_stays_ended(
    opened: Open, fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    real, errors = loop.validate, iter([9.0, 5.0, 6.0, 5.5, 1.0, 1.0])

    def validate(*arguments: Any) -> dict[str, float]:
        return real(*arguments) | {"val_clean": next(errors)}

    monkeypatch.setattr(loop, "validate", validate)
    experiment = opened("method=erm", "train.patience=2", "train.checkpoint_every=1")
    fit(experiment, tmp_path)
    assert "stopped at step 4: not better for 2 checkpoints" in capsys.readouterr().err
    assert (state(tmp_path)["step"], state(tmp_path, "best")["step"]) == (4, 2)
    before = (tmp_path / "checkpoints" / "last").read_bytes()
    fit(experiment, tmp_path)
    assert (tmp_path / "checkpoints" / "last").read_bytes() == before


def test_an_adversarial_run_is_judged_under_attack_too(
    opened: Open, fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """best: the least log(clean) + λ₁ log(attacked); of a plain method the least clean error."""
    real = loop.validate
    for method, weight, best in (("erm", 1.0, 2), ("jitter", 1.0, 1), ("jitter", 0.1, 2)):
        errors = iter([(4.0, 8.0), (2.0, 32.0)])

        def validate(*arguments: Any, errors: Any = errors) -> dict[str, float]:
            return real(*arguments) | dict(zip(("val_clean", "val_adversarial"), next(errors), strict=True))

        monkeypatch.setattr(loop, "validate", validate)
        run = tmp_path / f"{method}-{weight}"
        options = ["train.steps=2", "train.checkpoint_every=1", f"threat.weight={weight}"]
        fit(opened(f"method={method}", *options), run)
        assert state(run, "best")["step"] == best


@pytest.fixture
def unjudged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack and report are not what these are about."""
    monkeypatch.setattr(study, "_evaluate", lambda *_: None)
    monkeypatch.setattr(study, "write_report", lambda *_: None)


def one_line(error: pytest.ExceptionInfo[UserError], *said: str) -> None:
    assert "\n" not in str(error.value)
    for words in said:
        assert words in str(error.value)


def test_a_measurement_that_is_no_number_is_named(
    opened: Open, fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = opened(
        "method=minmax", "train.batch_size=1", "train.checkpoint_every=1", "train.flips=false"
    )
    order: list[int] = []
    measure = Experiment.measure
    monkeypatch.setattr(Experiment, "measure", lambda self, x, i: (order.extend(i), measure(self, x, i))[1])
    fit(experiment, tmp_path / "whole")
    trained = [index for index in order if index in experiment.split.train]
    # The one that first comes third.
    place = next(place for place in range(2, 6) if trained[place] not in trained[:place])
    bad, image = trained[place], Store.image

    def spoiled(self: Store, index: int) -> Any:
        found = np.array(image(self, index))
        found[8, 8] = np.nan if index == bad else found[8, 8]
        return found

    monkeypatch.setattr(Store, "image", spoiled)
    with pytest.raises(UserError) as error:
        fit(experiment, tmp_path / "run")
    one_line(error, f"step {place + 1} (slices [{bad}])", "measurement", "leave that slice out", "checkpoint")
    assert equal(state(tmp_path / "run")["step"], place)
    assert all(value.isfinite().all() for value in state(tmp_path / "run")["network"].values())


@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize("method", ["erm", "minmax"])
def test_a_rate_that_is_too_high_is_told(
    method: str, stopped: bool, opened: Open, fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the loss of the step was a number and only its update was not: that one must not be kept."""
    often = f"train.checkpoint_every={100 if stopped else 1}"
    sane = opened(f"method={method}", often, "train.log_every=100", "network.norm=group")
    during(monkeypatch, 2, kill(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        fit(sane, tmp_path)
    kept = (tmp_path / "checkpoints" / "last").read_bytes()
    if stopped:
        during(monkeypatch, 3, kill(signal.SIGINT))
    mad = replace(sane, recipe=replace(sane.recipe, train=replace(sane.recipe.train, lr=1e38)))
    with pytest.raises(UserError) as error:
        fit(mad, tmp_path)
    one_line(
        error, "step 3 (slices [", "is not a finite number", "lower train.lr", "the last checkpoint is from"
    )
    assert (tmp_path / "checkpoints" / "last").read_bytes() == kept


@pytest.mark.parametrize("part", ["network", "optimizer", "adversary"])
def test_what_is_not_finite_is_not_kept_between_two_validations(
    part: str, opened: Open, fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C at step 4, when no figure has yet met it."""
    experiment, real = opened("method=minmax"), loop.take_step

    def take_step(training: Any, *batch: Any) -> Any:
        figures = real(training, *batch)
        if training.step + 1 == 4:
            [kept for kept in tensors(training.state()[part]) if kept.is_floating_point()][-1].fill_(
                torch.nan
            )
            kill(signal.SIGINT)()
        return figures

    monkeypatch.setattr(loop, "take_step", take_step)
    with pytest.raises(UserError) as error:
        fit(experiment, tmp_path)
    rate = "threat.lr" if part == "adversary" else "train.lr"
    one_line(
        error,
        "step 4 (slices [",
        f"{part} is not a finite number; lower {rate}",
        "the last checkpoint is from",
    )
    assert state(tmp_path)["step"] == 3


def tensors(content: Any) -> Iterator[torch.Tensor]:
    if isinstance(content, torch.Tensor):
        yield content
    elif isinstance(content, dict | list):
        for value in content.values() if isinstance(content, dict) else content:
            yield from tensors(value)


@each_way
@pytest.mark.parametrize("where", ["take_step", "validate", "measure"])
def test_out_of_memory_says_what_to_lower(
    happen: Callable[[], object], where: str, opened: Open, fit: Fit, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(Experiment if where == "measure" else loop, where, lambda *_: happen())
    with pytest.raises(UserError) as error:
        fit(opened("method=erm", "train.checkpoint_every=1"), tmp_path)
    one_line(error, "step 1 (slices [", "out of memory", "train.accumulate", "train.batch_size")


def test_another_mistake_is_not_dressed_up(
    opened: Open, fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: Any) -> None:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(loop, "take_step", wrong)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        fit(opened("method=erm"), tmp_path)


def test_a_split_without_a_validation_part_is_told_first(opened: Open, fit: Fit, tmp_path: Path) -> None:
    experiment = opened("method=erm")
    with pytest.raises(UserError, match="--val"):
        fit(replace(experiment, split=replace(experiment.split, val=())), tmp_path)


class Opens:
    """What a pickle may do to whoever loads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (str(self.path), "w")


@pytest.mark.parametrize(
    "kind",
    ["pickled code", "a stranger's weights", "half of one", "text", "of no schema", "of a schema in words"],
)
def test_a_checkpoint_that_is_not_ours_is_refused(kind: str, opened: Open, fit: Fit, tmp_path: Path) -> None:
    experiment, last = opened("method=erm"), tmp_path / "checkpoints" / "last"
    fit(experiment, tmp_path)
    if kind == "pickled code":
        torch.save(load_checkpoint(last) | {"more": Opens(tmp_path / "owned")}, last)
    elif kind == "a stranger's weights":
        torch.save({"network": {}}, last)
    elif kind == "half of one":
        last.write_bytes(last.read_bytes()[:3000])
    elif kind == "text":
        last.write_text("not a checkpoint")
    else:
        content = load_checkpoint(last)
        schema = {} if kind == "of no schema" else {"schema": "first"}
        torch.save({key: value for key, value in content.items() if key != "schema"} | schema, last)
    with pytest.raises(UserError, match="not a checkpoint of ctrobust, or damaged") as error:
        fit(experiment, tmp_path)
    one_line(error, str(last))
    assert not (tmp_path / "owned").exists()


def without(*path: str) -> Callable[[dict[str, Any]], None]:
    def spoil(content: dict[str, Any]) -> None:
        for key in path[:-1]:
            content = content[key]
        del content[path[-1]]

    return spoil


@pytest.mark.parametrize(
    ("other", "spoil", "said"),
    [
        (["threat.base_channels=8"], None, ("its adversary", "size mismatch for")),
        (["network.base_channels=8"], None, ("its network", "size mismatch for")),
        (["method=parseval"], None, ("its adversary", "'perturber' is missing")),
        (
            [],
            lambda content: content["optimizer"]["param_groups"][0]["params"].pop(),
            ("its optimizer", "size"),
        ),
        ([], without("adversary", "lambda_2"), ("its adversary", "'lambda_2' is missing")),
        ([], without("seconds"), ("its step", "'seconds' is missing")),
    ],
    ids=["another G", "another f", "another method", "another optimiser", "an older G", "cut"],
)
def test_one_of_other_shapes_says_which(
    other: list[str], spoil: Any, said: tuple[str, ...], opened: Open, fit: Fit, tmp_path: Path
) -> None:
    """As an older version's may be, whose recipe reads the same."""
    last = tmp_path / "checkpoints" / "last"
    fit(opened("method=minmax", *other), tmp_path)
    content = load_checkpoint(last)
    if spoil:
        spoil(content)
    save_checkpoint(last, content)
    with pytest.raises(UserError) as error:
        fit(opened("method=minmax"), tmp_path)
    one_line(error, str(last), *said, "start anew with another --out")


def test_a_newer_one_is_refused_by_its_number(opened: Open, fit: Fit, tmp_path: Path) -> None:
    experiment, last = opened("method=erm"), tmp_path / "checkpoints" / "last"
    fit(experiment, tmp_path)
    torch.save(load_checkpoint(last) | {"schema": 99}, last)
    with pytest.raises(UserError, match="newer ctrobust"):
        fit(experiment, tmp_path)


FIRST = {
    "train": (
        "steps",
        "batch_size",
        "lr",
        "precision",
        "flips",
        "freeze_norm",
        "checkpoint_every",
        "log_every",
    ),
    "threat": (
        "eps",
        "weight",
        "ball",
        "lambda_2",
        "sees",
        "steps_per_update",
        "base_channels",
        "levels",
        "lr",
    ),
    "network": ("name", "base_channels", "levels"),
}
"""The keys of version 0.1."""


def test_a_run_of_the_first_version_loads_and_goes_on(
    opened: Open, fit: Fit, unjudged: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its recipe and its checkpoint lack what came later: the defaults are what it did."""
    experiment = opened("method=minmax", "train.log_to=[tensorboard]")
    recipe = replace(experiment.recipe, scan=replace(experiment.recipe.scan, pixel_mm=None))
    fit(experiment, tmp_path / "whole")
    during(monkeypatch, 3, kill(signal.SIGINT))
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        study.run_study(recipe, run)

    keys = yaml.safe_load((run / "recipe.yaml").read_text())
    del keys["regularize"], keys["options"]
    for section, known in FIRST.items():
        keys[section] = {key: keys[section][key] for key in known}
    (run / "recipe.yaml").write_text(yaml.safe_dump(keys))
    for which in ("last", "best"):
        path = run / "checkpoints" / which
        content = load_checkpoint(path)
        del content["waited"], content["physics"]["network"]["norm"]
        save_checkpoint(path, content)

    assert read_recipe(run / "recipe.yaml") == replace(experiment.recipe, method="minmax")
    assert load(run).network is not None
    study.run_study(recipe, run)
    assert equal(state(run), state(tmp_path / "whole"))


def test_epochs_settle_the_steps(opened: Open, unjudged: None, tmp_path: Path) -> None:
    experiment = opened("method=erm", "train.epochs=2.5", "train.batch_size=3")
    # 2.5 passes over the part, rounded up to whole batches.
    expected = -(-5 * len(experiment.split.train) // 6)
    recipe = experiment.recipe
    for _ in ("begun", "taken up again"):
        study.run_study(recipe, tmp_path / "run")
        assert read_recipe(tmp_path / "run" / "recipe.yaml").train.steps == expected
        assert state(tmp_path / "run")["step"] == expected
    assert float(history(tmp_path / "run")[-1]["epoch"]) == pytest.approx(2.5, abs=0.5)


@pytest.fixture
def small_files() -> Iterator[Callable[[int], None]]:
    """From when it is called no file grows beyond so many bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(("watched", "size"), [("[]", 30_000), ("[tensorboard]", 900)])
def test_a_full_disk_leaves_the_earlier_checkpoint(
    watched: str,
    size: int,
    small_files: Callable[[int], None],
    opened: Open,
    fit: Fit,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys,
) -> None:
    """Also where TensorBoard's file is too large before the checkpoint's is: it neither waits nor hides that."""
    experiment, folder = opened("method=minmax", f"train.log_to={watched}"), tmp_path / "run" / "checkpoints"
    fit(experiment, tmp_path / "whole")
    during(monkeypatch, 5, lambda: small_files(size))
    with pytest.raises(UserError, match="is the disk full") as error:
        fit(experiment, tmp_path / "run")
    one_line(error, str(folder), "cannot be written")
    assert capsys.readouterr().err.count("train.log_to tensorboard: OSError") == (watched != "[]")
    assert state(tmp_path / "run")["step"] == 3
    assert {path.name for path in folder.iterdir()} == {"last", "best"}
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    fit(experiment, tmp_path / "run")
    assert equal(state(tmp_path / "run"), state(tmp_path / "whole"))

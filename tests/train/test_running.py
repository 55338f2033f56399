"""What is asked of Fabric and of torch for a precision and a device, on machines that have no such device."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from ctrobust.experiment import Experiment
from ctrobust.reconstruct import LearnedReconstructor
from ctrobust.reconstruct.load import build_network
from ctrobust.train import running
from ctrobust.train.run import batch_norm_of_several

Open = Callable[..., Experiment]


@pytest.fixture
def arithmetic() -> Iterator[Callable[[], tuple[str, bool]]]:
    """How torch multiplies float32, put back after."""

    def now() -> tuple[str, bool]:
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32

    before = now()
    yield now
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]


@pytest.mark.parametrize(
    ("precision", "asked", "multiplies"),
    [
        ("fp32", "32-true", ("highest", False)),
        ("tf32", "32-true", ("high", True)),
        ("bf16", "bf16-mixed", ("highest", False)),
    ],
)
def test_precision_on_two_gpus(
    precision: Any,
    asked: str,
    multiplies: tuple[str, bool],
    arithmetic: Callable[[], tuple[str, bool]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: dict[str, Any] = {}
    launched: list[bool] = []

    def fabric(**options: Any) -> SimpleNamespace:
        given.update(options)
        return SimpleNamespace(launch=lambda: launched.append(True))

    monkeypatch.setattr(running, "Fabric", fabric)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    running.make_fabric(precision)
    assert given == dict(accelerator="cuda", devices=2, num_nodes=2, strategy="ddp", precision=asked)
    assert arithmetic() == multiplies
    assert launched == [True]


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_batch_norm_of_several_processes(norm: str, device: str, opened: Open, capsys) -> None:
    """Synchronised on CUDA; on a CPU each its own, and said, once, unless it is frozen from the start."""
    experiment = opened("method=erm", f"network.norm={norm}")
    several = SimpleNamespace(world_size=2, device=torch.device(device), is_global_zero=True)
    f = LearnedReconstructor(experiment.projector, build_network(experiment.recipe))
    f = batch_norm_of_several(f, several, experiment.recipe.train)  # type: ignore[arg-type]
    kinds = {type(module) for module in f.modules()}
    assert (nn.SyncBatchNorm in kinds) == (device == "cuda" and norm == "batch")
    assert (nn.BatchNorm2d in kinds) == (device == "cpu" and norm == "batch")
    assert capsys.readouterr().err.count("batch norm") == (device == "cpu" and norm == "batch")
    frozen = opened("method=erm", "train.freeze_norm=0").recipe.train
    batch_norm_of_several(f, several, frozen)  # type: ignore[arg-type]
    assert capsys.readouterr().err == ""

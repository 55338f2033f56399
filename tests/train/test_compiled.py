"""train.compile: the same training to rounding, and checkpoints that load where nothing is compiled."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric

from ctrobust.core.errors import UserError
from ctrobust.experiment import Experiment
from ctrobust.networks.checkpoint import load_checkpoint
from ctrobust.reconstruct.load import build_network
from ctrobust.train.run import train_run
from ctrobust.train.running import require_compiler

Open = Callable[..., Experiment]


@pytest.mark.soak  # a minute of C++
def test_a_compiled_f_is_trained_as_any_other(tmp_path: Path, opened: Open, fabric: Fabric) -> None:
    """Batch norm on, then frozen; f's gradient by y as well, which G sees."""
    networks = []
    for compiled in ("false", "true"):
        experiment = opened(
            "method=minmax",
            "threat.sees=gradient",
            "threat.first_look=last",
            "train.precision=fp32",
            "train.steps=4",
            "train.optimizer=sgd",  # Adam takes a bias that batch norm undoes as far as its rounding points
            f"train.compile={compiled}",
        )
        train_run(experiment, fabric, tmp_path / compiled)
        network = build_network(experiment.recipe)
        network.load_state_dict(load_checkpoint(tmp_path / compiled / "checkpoints" / "last")["network"])
        networks.append(torch.cat([value.flatten().float() for value in network.state_dict().values()]))
    plain, compiled_one = networks
    assert (compiled_one - plain).norm() < 1e-4 * plain.norm()


def test_without_a_compiler_it_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UserError, match=r"train\.compile.*no-such-compiler"):
        require_compiler("cpu")

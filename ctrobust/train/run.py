"""One training run from a recipe of one method to a run folder."""

from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import nn

from ctrobust.core.progress import say
from ctrobust.core.seeds import derive_seed
from ctrobust.experiment import Experiment
from ctrobust.recipes.schema import TrainRecipe
from ctrobust.reconstruct import LearnedReconstructor
from ctrobust.reconstruct.load import build_reconstructor, physics_of
from ctrobust.train.loop import Training, fit
from ctrobust.train.methods import find_method


def train_run(experiment: Experiment, fabric: Fabric, out: Path) -> None:
    """Train `experiment.recipe` into `out`, which has its recipe.yaml and split.json; goes on where it stopped."""
    recipe = experiment.recipe
    # The networks' starting weights come from torch's global generator: seeded here, and put back after.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(recipe.seed, "weights"))
        f = build_reconstructor(recipe, experiment.projector)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(recipe.seed, "adversary"))
        method = find_method(str(recipe.method))(recipe, fabric)
        method.prepare(f)
    if fabric.world_size > 1:
        f = batch_norm_of_several(f, fabric, recipe.train)
    if recipe.train.compile:
        f.network.compile()
    training = Training(f.train(), make_optimizer(f, recipe.train), method, fabric, physics_of(recipe))
    fit(training, experiment, out)


def batch_norm_of_several(
    f: LearnedReconstructor, fabric: Fabric, settings: TrainRecipe
) -> LearnedReconstructor:
    """f with its batch norm over the processes, on CUDA; torch has no such one for a CPU, which is said."""
    if not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in f.modules()):
        return f
    if fabric.device.type == "cuda":
        synchronised: LearnedReconstructor = nn.SyncBatchNorm.convert_sync_batchnorm(f)  # type: ignore[no-untyped-call]
        return synchronised
    if fabric.is_global_zero and settings.freeze_norm > 0:
        say(
            "batch norm: on CPUs each process takes its own share's statistics, and the first one's are kept; give "
            "network.norm=group or train.freeze_norm=0 for the steps of one process with the whole batch"
        )
    return f


def make_optimizer(f: nn.Module, settings: TrainRecipe) -> torch.optim.Optimizer:
    if settings.optimizer == "sgd":
        return torch.optim.SGD(f.parameters(), lr=settings.lr, momentum=settings.momentum)
    return torch.optim.Adam(f.parameters(), lr=settings.lr)

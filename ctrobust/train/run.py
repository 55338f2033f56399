"""One training run from a recipe of one method to a run folder."""

from pathlib import Path

import torch
from lightning_fabric import Fabric

from ctrobust.core.seeds import derive_seed
from ctrobust.experiment import Experiment
from ctrobust.reconstruct import LearnedReconstructor
from ctrobust.reconstruct.load import build_network, physics_of
from ctrobust.train.loop import Training, fit
from ctrobust.train.methods import METHODS


def train_run(experiment: Experiment, fabric: Fabric, out: Path) -> None:
    """Train `experiment.recipe` into `out`, which has its recipe.yaml and split.json; goes on where it stopped."""
    recipe = experiment.recipe
    # The networks' starting weights come from torch's global generator: seeded here, and put back after.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(recipe.seed, "weights"))
        network = build_network(recipe)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(recipe.seed, "adversary"))
        adversary = METHODS[str(recipe.method)](recipe, fabric)
    f = LearnedReconstructor(experiment.projector, network, recipe.scan.window)
    optimizer = torch.optim.Adam(f.parameters(), lr=recipe.train.lr)
    training = Training(f.train(), optimizer, adversary, fabric, physics_of(recipe))
    fit(training, experiment, out, weight=recipe.threat.weight, eps=recipe.threat.eps)

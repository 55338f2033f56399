"""Clean and attacked error on the validation part, of the last checkpoint of each run: what settings are chosen by.

    python docs/results/on_validation.py RUN [RUN ...] [--eps 0.02]

At one ε for all and under 20 steps, where `val_adversarial` in history.csv is at the training's ε and under five.
"""

import argparse
from pathlib import Path

import torch

from ctrobust.experiment import open_experiment
from ctrobust.networks.checkpoint import load_checkpoint
from ctrobust.recipes import read_recipe
from ctrobust.reconstruct import load
from ctrobust.threat import L2Ball, ProjectedGradientAscent
from ctrobust.threat.ascent import exact_arithmetic, squared_error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--eps", type=float, default=0.02)
    parser.add_argument("--steps", type=int, default=20)
    given = parser.parse_args()
    attack = ProjectedGradientAscent(L2Ball(given.eps), steps=given.steps, restarts=1)
    for run in given.runs:
        experiment = open_experiment(read_recipe(run / "recipe.yaml"), split=run / "split.json")
        f = load(run)
        f.network.load_state_dict(load_checkpoint(run / "checkpoints" / "last")["network"])
        y, x = experiment.pair(experiment.split.val)
        with exact_arithmetic():
            delta = attack(f, y, x)
            with torch.no_grad():
                clean, attacked = (squared_error(f, seen, x).mean().item() for seen in (y, y + delta))
        print(f"{run.name}: clean {clean:.1f}, attacked {attacked:.0f}")


if __name__ == "__main__":
    main()

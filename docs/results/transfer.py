"""The transfer matrix: δ made on one reconstructor, used on every other.

    python docs/results/transfer.py RUNS [RUNS ...] [--eps 0.02] [--slices 8] [--out docs/images/transfer.png]

RUNS: folders of sweeps (docs/results/folds.md). The runs on one split are set against each other, together with the
tuned FBP of that split; of several splits (folds) the errors of all slices count together. Prints the table as
Markdown: first the clean errors, then a row for what δ was made on, a column for what it was used on, in each the mean
of ‖f(y + δ) − x‖²; and draws what δ adds to the clean error, as a share of what one made for that f adds.
"""

import argparse
from collections import defaultdict
from itertools import product
from pathlib import Path

import numpy as np
import torch
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray
from robustness import arm_of, by_split

from ctrobust.core.progress import Progress
from ctrobust.evaluate.controls import tuned
from ctrobust.evaluate.selection import spread_over_patients
from ctrobust.experiment import Experiment, open_experiment
from ctrobust.recipes import read_recipe
from ctrobust.reconstruct import load
from ctrobust.threat import L2Ball, ProjectedGradientAscent
from ctrobust.threat.ascent import Reconstructor, exact_arithmetic, squared_error

Array = NDArray[np.float64]

CONTROLS = ("fbp", "cgls")
CLEAN = "clean"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--eps", type=float, default=0.02)
    parser.add_argument("--slices", type=int, default=8, help="of each split, spread over its patients")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--restarts", type=int, default=2)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    attack = ProjectedGradientAscent(L2Ball(given.eps), steps=given.steps, restarts=given.restarts)
    errors: dict[tuple[str, str], list[Array]] = defaultdict(list)
    for folders in by_split(given.runs).values():
        for pair, found in matrix(folders, attack, given.slices).items():
            errors[pair].append(found)
    names = list(dict.fromkeys(used for _, used in errors))
    rows = [CLEAN, *names]
    if apart := [pair for pair in product(rows, names) if pair not in errors]:
        parser.error(f"never on one split: {', '.join(' and '.join(pair) for pair in apart)}")
    table = np.array([[np.concatenate(errors[made, used]).mean() for used in names] for made in rows])
    print(f"| δ made on ↓, used on → | {' | '.join(names)} |\n|---|{'---:|' * len(names)}")
    for name, row in zip(rows, table, strict=True):
        print(f"| {name} | {' | '.join(f'{value:.0f}' for value in row)} |")
    if given.out:
        draw(names, table[1:] - table[0], given.eps, given.out)


def matrix(folders: list[Path], attack: ProjectedGradientAscent, slices: int) -> dict[tuple[str, str], Array]:
    """{(made on, used on): errors a slice} of the runs on one split; `clean` is δ = 0."""
    arms, experiment = reconstructors(folders)
    indices = spread_over_patients(experiment.split.eval, experiment.store.patients, slices)
    y, x = experiment.pair(indices)
    deltas = {CLEAN: torch.zeros_like(y)}
    with exact_arithmetic():
        for name in Progress(list(arms), "transfer", total=len(arms)):
            deltas[name] = attack(arms[name], y, x)
        with torch.no_grad():
            return {
                (made, used): squared_error(f, y + delta, x).double().cpu().numpy()
                for made, delta in deltas.items()
                for used, f in arms.items()
            }


def reconstructors(folders: list[Path]) -> tuple[dict[str, Reconstructor], Experiment]:
    """The runs' f by name, then the controls; and the data they share."""
    arms: dict[str, Reconstructor] = {}
    for folder in folders:
        recipe = read_recipe(folder / "recipe.yaml")
        if arm_of(recipe) in arms:
            raise SystemExit(f"{folder}: a second {arm_of(recipe)} on its split; give one of each")
        arms[arm_of(recipe)] = load(folder)
        experiment = open_experiment(recipe, split=folder / "split.json")
    return arms | {name: tuned(name, experiment) for name in CONTROLS}, experiment


def draw(names: list[str], added: Array, eps: float, out: Path) -> None:
    """Each column relative to its own worst case, on the diagonal: 100 % where δ is as bad as one made for it."""
    figure = Figure(figsize=(1.8 + 0.8 * len(names), 1.2 + 0.6 * len(names)), layout="constrained", dpi=120)
    axes = figure.subplots()
    share = added / np.diag(added)
    axes.imshow(share.clip(0.03), cmap="viridis", norm=LogNorm(vmin=0.03, vmax=max(1, share.max())))
    for (row, column), value in np.ndenumerate(share):
        axes.text(
            column, row, f"{value:.0%}", ha="center", va="center", color="white" if value < 0.3 else "black"
        )
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("used on")
    axes.set_ylabel("δ made on")
    axes.set_title(
        f"What a foreign δ adds to the error, ε = {eps:.0%}, as a share of what one’s own adds", fontsize=10
    )
    figure.savefig(out)


if __name__ == "__main__":
    main()

"""Every training method, and every way of G's, as overrides of a small recipe; states, laid flat and compared."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ctrobust.experiment import Experiment, open_experiment
from ctrobust.recipes import load_recipe

SMALL = [
    "data.size=16",
    "scan.views=9",
    "scan.backend=matrix",
    "network.levels=2",
    "train.steps=6",
    "train.checkpoint_every=3",
    "train.log_to=[]",
    "data.eval_fraction=0.3",
    "data.val_fraction=0.3",
]

VARIANTS = {
    "erm": ["method=erm"],
    "weight_decay": ["method=weight_decay"],
    "parseval": ["method=parseval"],
    "jitter": ["method=jitter"],
    "universal": ["method=universal", "threat.groups=2"],
    "pgd": ["method=pgd", "threat.ascent_steps=2"],
    "G sees y": ["method=minmax"],
    "G under the hinge": ["method=minmax", "threat.ball=hinge", "threat.steps_per_update=2"],
    "G sees the gradient twice": ["method=minmax", "threat.sees=gradient", "threat.applications=2"],
    "G from the last δ": [
        "method=minmax",
        "threat.sees=gradient",
        "threat.first_look=last",
        "threat.further=true",
    ],
    "G together with f, by the gradient": ["method=minmax", "threat.sees=gradient", "threat.turns=together"],
    "G together with f": ["method=minmax", "threat.sees=last", "threat.turns=together"],
    "G a group": ["method=minmax", "threat.groups=3"],
    "G anew": ["method=minmax", "threat.fresh=true", "threat.optimizer=sgd", "threat.steps_per_update=2"],
}


def open_small(store: Path, *overrides: str) -> Experiment:
    """The small recipe with these overrides, opened on a small store."""
    return open_experiment(load_recipe("tiny", [*SMALL, f"data.store={store}", *overrides]))


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)


def flat(content: object) -> Tensor:
    """All numbers of a state, one after the other."""
    if isinstance(content, dict | list | tuple):
        values = content.values() if isinstance(content, dict) else content
        return torch.cat([torch.empty(0, dtype=torch.float64), *map(flat, values)])
    if isinstance(content, Tensor | float | int):
        return torch.as_tensor(content, dtype=torch.float64).flatten()
    return torch.empty(0, dtype=torch.float64)

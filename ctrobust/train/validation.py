"""f on the validation part: errors clean and under attack, and how much of the worst case the method finds."""

from collections.abc import Callable, Sequence
from functools import cache

import torch
from lightning_fabric import Fabric
from torch import Tensor

from ctrobust.experiment import Experiment
from ctrobust.reconstruct import LearnedReconstructor
from ctrobust.threat import L2Ball, ProjectedGradientAscent
from ctrobust.threat.ascent import evaluating, exact_arithmetic, squared_error
from ctrobust.train.methods.method import Adversarial, Figures, Method

JUDGED, SEARCHED = 24, 8
BATCH = 8
ATTACK_STEPS = 5
SEARCH_STEPS = (1, 5, 20)

Perturb = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(y, x, places of these slices in the list judged) ↦ δ"""


def validate(f: LearnedReconstructor, method: Method, experiment: Experiment, fabric: Fabric) -> Figures:
    """Mean errors over at most 24 slices, and mean increases over at most 8 of them, shared out over the processes.

    found: by how much the method's own perturbation raises the error; found_1, found_5, found_20: by how much that
    many steps of ascent do. A method without a perturbation of its own has none of the four.
    """
    judged = _spread(experiment.split.val, JUDGED)
    with evaluating(f), exact_arithmetic():
        errors = _Errors(f, experiment, fabric)
        figures = {
            "val_clean": errors.mean(judged),
            "val_adversarial": errors.mean(judged, _ascent(f, experiment, ATTACK_STEPS)),
        }
        if isinstance(method, Adversarial):
            figures |= _search(f, method, experiment, errors, _spread(judged, SEARCHED))
    return figures


def _search(
    f: LearnedReconstructor,
    method: Adversarial,
    experiment: Experiment,
    errors: "_Errors",
    slices: Sequence[int],
) -> Figures:
    def own(y: Tensor, x: Tensor, places: Tensor) -> Tensor:
        return method.propose(f, y, x, places)

    clean = errors.mean(slices)
    ways = {"found": own} | {f"found_{steps}": _ascent(f, experiment, steps) for steps in SEARCH_STEPS}
    return {name: errors.mean(slices, way) - clean for name, way in ways.items()}


class _Errors:
    """Mean ‖f(y + δ) − x‖² over slices of the store, each process taking its share."""

    def __init__(self, f: LearnedReconstructor, experiment: Experiment, fabric: Fabric) -> None:
        self._f, self._fabric = f, fabric
        # Read and measured once for all the means.
        self._pair = cache(lambda index: experiment.pair([index]))

    def mean(self, slices: Sequence[int], perturb: Perturb | None = None) -> float:
        # By place, not by process, so that any number of them puts a slice in the same group of the method's.
        mine = range(self._fabric.global_rank, len(slices), self._fabric.world_size)
        total = torch.zeros(2, dtype=torch.float64, device=self._fabric.device)
        for first in range(0, len(mine), BATCH):
            places = mine[first : first + BATCH]
            y, x = map(torch.cat, zip(*(self._pair(slices[place]) for place in places), strict=True))
            delta = 0 if perturb is None else perturb(y, x, torch.tensor(places))
            found = squared_error(self._f, y + delta, x)
            total += torch.stack([found.double().sum(), found.new_tensor(len(found)).double()])
        total = torch.as_tensor(self._fabric.all_reduce(total, reduce_op="sum"))
        return float(total[0] / total[1])


def _ascent(f: LearnedReconstructor, experiment: Experiment, steps: int) -> Perturb:
    threat = experiment.recipe.threat
    attack = ProjectedGradientAscent(
        L2Ball(threat.eps, threat.relative), steps=steps, restarts=1, allow_unmatched=True
    )
    return lambda y, x, _: attack(f, y, x)


def _spread(slices: Sequence[int], most: int) -> Sequence[int]:
    return slices[:: -(-len(slices) // most)]

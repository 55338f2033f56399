"""The control arms: reconstructors that nobody trained, tuned as the trained ones are and attacked in the same way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ctrobust.evaluate.selection import evenly
from ctrobust.experiment import Experiment
from ctrobust.operators import Projector
from ctrobust.operators.filtering import WINDOWS
from ctrobust.reconstruct import cgls, sirt, total_variation
from ctrobust.threat.ascent import exact_arithmetic, squared_error

TUNED_ON = 8

Reconstruct = Callable[..., Tensor]

# Without a stopping rule, so that f is smooth. Conjugate gradients lose their way in float32: of the increase that an
# attack finds in float64 a fifth was missed at ten iterations, and beyond those the gradient is wrong in float64, too.
_RECONSTRUCT: dict[str, Reconstruct] = {
    "fbp": lambda A, y, window: A.fbp(y, window),
    "sirt": lambda A, y, iterations: sirt(A, y, iterations=iterations, tolerance=0).x,
    "cgls": lambda A, y, iterations: cgls(A, y.double(), iterations=iterations, tolerance=0).x.to(y),
    "tv": lambda A, y, weight, iterations: (
        total_variation(A, y.double(), weight=weight, iterations=iterations, tolerance=0, nonnegative=True)
    ).x.to(y),
}
CANDIDATES: dict[str, list[dict[str, Any]]] = {
    "fbp": [{"window": window} for window in WINDOWS],
    "sirt": [{"iterations": iterations} for iterations in (10, 20, 40, 80)],
    "cgls": [{"iterations": iterations} for iterations in (2, 4, 6, 8, 10)],
    "tv": [{"weight": weight, "iterations": 50} for weight in (1.0, 3.0, 10.0, 30.0, 100.0)],
}
"""What each is chosen from, by its clean error on the validation part."""


@dataclass(frozen=True)
class Control:
    """y ↦ x̂ without anything learned, differentiable: (B, 1, views, bins) → (B, 1, H, W).

    method: fbp, sirt, cgls or tv; settings: one of its `CANDIDATES`, or others of those keys.
    """

    projector: Projector
    method: str
    settings: dict[str, Any]

    def __call__(self, y: Tensor) -> Tensor:
        return _RECONSTRUCT[self.method](self.projector, y, **self.settings)


def tuned(method: str, experiment: Experiment) -> Control:
    """The candidate of least mean ‖f(y) − x‖² on at most 8 slices, spread over the validation part.

    Of a split without one, over the training part.
    """
    y, x = experiment.pair(evenly(experiment.split.val or experiment.split.train, TUNED_ON))
    arms = [Control(experiment.projector, method, settings) for settings in CANDIDATES[method]]
    return _best(arms, y, x)


def _best(arms: Sequence[Control], y: Tensor, x: Tensor) -> Control:
    with exact_arithmetic(), torch.no_grad():
        return min(arms, key=lambda arm: float(squared_error(arm, y, x).double().mean()))

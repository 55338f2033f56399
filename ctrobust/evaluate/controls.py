"""The control arms: reconstructors that nobody trained, tuned as the trained ones are and attacked in the same way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ctrobust.evaluate.selection import evenly
from ctrobust.experiment import Experiment
from ctrobust.operators.dense import DenseOperator
from ctrobust.operators.filtering import WINDOWS
from ctrobust.reconstruct import cgls, sirt, total_variation
from ctrobust.reconstruct.learned import Operator
from ctrobust.threat.ascent import exact_arithmetic, squared_error

TUNED_ON = 8

Reconstruct = Callable[..., Tensor]

# Without a stopping rule, so that f is smooth. Conjugate gradients lose their way in float32: of the increase that an
# attack finds in float64 a fifth was missed at ten iterations, and beyond those the gradient is wrong in float64, too.
_RECONSTRUCT: dict[str, Reconstruct] = {
    "pseudo-inverse": lambda A, y: A.pinv(y),
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
OF_A_MATRIX: dict[str, list[dict[str, Any]]] = {
    "pseudo-inverse": [{}],
    "cgls": CANDIDATES["cgls"],
    # A row is no line of some hundred millimetres: the same weight is a hundred times as heavy.
    "tv": [{"weight": weight, "iterations": 100} for weight in (0.003, 0.01, 0.03, 0.1)],
}
"""The same where A is a matrix."""


@dataclass(frozen=True)
class Control:
    """y ↦ x̂ without anything learned, differentiable: (B, C, views, bins) → (B, C, H, W).

    method: fbp, pseudo-inverse, sirt, cgls or tv; settings: one of its candidates, or others of those keys.
    """

    projector: Operator
    method: str
    settings: dict[str, Any]

    def __call__(self, y: Tensor) -> Tensor:
        return _RECONSTRUCT[self.method](self.projector, y, **self.settings)


def reference(A: Operator, window: str) -> Control:
    """What f is set beside: FBP by its own window, of a matrix the pseudo-inverse."""
    dense = isinstance(A, DenseOperator)
    return Control(A, "pseudo-inverse", {}) if dense else Control(A, "fbp", {"window": window})


def control_names(asked: Sequence[str], A: Operator) -> list[str]:
    """The controls as a result names them: a matrix has no filtered back-projection but its pseudo-inverse."""
    dense = isinstance(A, DenseOperator)
    return ["pseudo-inverse" if dense and name == "fbp" else name for name in asked]


def tuned(method: str, experiment: Experiment) -> Control:
    """The candidate of least mean ‖f(y) − x‖² on at most 8 slices, spread over the validation part.

    Of a split without one, over the training part.
    """
    y, x = experiment.pair(evenly(experiment.split.val or experiment.split.train, TUNED_ON))
    A = experiment.projector
    candidates = OF_A_MATRIX if isinstance(A, DenseOperator) else CANDIDATES
    arms = [Control(A, method, settings) for settings in candidates[method]]
    return _best(arms, y, x)


def _best(arms: Sequence[Control], y: Tensor, x: Tensor) -> Control:
    with exact_arithmetic(), torch.no_grad():
        return min(arms, key=lambda arm: float(squared_error(arm, y, x).double().mean()))

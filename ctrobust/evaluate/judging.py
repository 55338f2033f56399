"""One batch, judged: the quality of the clean images, and the errors the attack finds. No image is kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ctrobust.core.errors import UserError
from ctrobust.evaluate.curve import Errors, curve_rows, sweep
from ctrobust.evaluate.examples import Shown
from ctrobust.evaluate.metrics import Quality, mean_quality, quality
from ctrobust.experiment import Experiment
from ctrobust.reconstruct import FilteredBackProjection, LearnedReconstructor
from ctrobust.threat import ProjectedGradientAscent
from ctrobust.threat.ascent import Reconstructor


class Judged(NamedTuple):
    """A reconstructor on a batch: clean, a slice each; attacked, a radius each in ascending order; pixels a slice."""

    clean: list[Quality]
    attacked: list[Errors]
    pixels: int


class Findings(NamedTuple):
    """What is kept of a batch."""

    learned: Judged
    reference: Judged
    shown: Shown


@dataclass(frozen=True)
class Trial:
    """f, and FBP beside it, each attacked at every radius; of the slices `shown` δ of f at shown_eps is kept."""

    f: LearnedReconstructor
    experiment: Experiment
    radii: Sequence[float]
    attack: ProjectedGradientAscent
    shown: frozenset[int]
    shown_eps: float

    def __call__(self, indices: Sequence[int]) -> Findings:
        """One batch, by its slices in the store. Raises UserError where a reconstructor gives what is not finite."""
        y, x = self.experiment.pair(indices)
        fbp = FilteredBackProjection(self.f.projector, self.f.window)
        reference, _ = judge(fbp, y, x, self.radii, self.attack)
        learned, deltas = judge(self.f, y, x, self.radii, self.attack)
        rows = [row for row, index in enumerate(indices) if index in self.shown]
        shown = Shown([indices[row] for row in rows], deltas[self.shown_eps][rows].cpu().numpy())
        return Findings(learned, reference, shown)


def judge(
    f: Reconstructor, y: Tensor, x: Tensor, radii: Sequence[float], attack: ProjectedGradientAscent
) -> tuple[Judged, dict[float, Tensor]]:
    """f on a batch, and the δ found at every radius."""
    with torch.no_grad():
        estimates = f(y)[:, 0].cpu().numpy()
    clean = [quality(*pair) for pair in zip(estimates, x[:, 0].cpu().numpy(), strict=True)]
    found = sweep(f, y, x, radii, attack)
    attacked = [errors for errors, _ in found]
    if not all(np.isfinite(errors.worst).all() for errors in attacked):
        raise UserError(
            "the reconstructor gives values that are not finite under attack: nothing can be measured"
        )
    return Judged(clean, attacked, x[0].numel()), {errors.eps: delta for errors, delta in found}


def summary(batches: Sequence[Judged], patients: Sequence[str]) -> dict[str, Any]:
    """Clean quality and the curve over batches that together are all slices; `patients` in their order."""
    return {
        "clean": mean_quality([each for batch in batches for each in batch.clean]),
        "curve": curve_rows([batch.attacked for batch in batches], batches[0].pixels, patients),
    }

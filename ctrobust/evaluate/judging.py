"""One batch, judged: the quality of the clean images, and the errors the attack finds. No image is kept."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ctrobust.core.errors import UserError
from ctrobust.core.statistics import worst_places
from ctrobust.evaluate.anatomy import RegionSums, region_sums
from ctrobust.evaluate.curve import Errors, curve_rows, sweep
from ctrobust.evaluate.examples import Shown
from ctrobust.evaluate.metrics import Quality, mean_quality, quality
from ctrobust.experiment import Experiment
from ctrobust.threat import ProjectedGradientAscent
from ctrobust.threat.ascent import Reconstructor, evaluating


class Judged(NamedTuple):
    """A reconstructor on a batch: clean, a slice each; attacked, a radius each in ascending order; pixels a slice."""

    clean: list[Quality]
    attacked: list[Errors]
    pixels: int


class Anatomy(NamedTuple):
    """Errors of the first arm by region of the body, at radius 0 and at the one that is shown; pictures have none."""

    clean: dict[str, RegionSums]
    attacked: dict[str, RegionSums]


class Findings(NamedTuple):
    """What is kept of a batch: every arm by its name, and of the first δ of what is shown and of the worst slice."""

    arms: dict[str, Judged]
    shown: Shown
    anatomy: Anatomy


@dataclass(frozen=True)
class Trial:
    """Reconstructors, each attacked at every radius; of the slices `shown`, and of the worst of every batch, δ of the
    first is kept at shown_eps: of nothing where nothing is shown.

    radii: in ascending order.
    """

    arms: Mapping[str, Reconstructor]
    experiment: Experiment
    radii: Sequence[float]
    attack: ProjectedGradientAscent
    shown: frozenset[int]
    shown_eps: float

    def __call__(self, indices: Sequence[int]) -> Findings:
        """One batch, by its slices in the store. Raises UserError where a reconstructor gives what is not finite."""
        y, x = self.experiment.pair(indices)
        found = {name: judge(f, y, x, self.radii, self.attack) for name, f in self.arms.items()}
        judged, deltas = next(iter(found.values()))
        f, delta = next(iter(self.arms.values())), deltas[self.shown_eps]
        anatomy = Anatomy({}, {})
        if self.experiment.in_hu:
            with evaluating(f), torch.no_grad():
                anatomy = Anatomy(region_sums(f(y), x), region_sums(f(y + delta), x))
        worst = {indices[int(judged.attacked[self.radii.index(self.shown_eps)].worst.argmax())]}
        shown = _those(self.shown | worst if self.shown else (), indices, delta)
        return Findings({name: each for name, (each, _) in found.items()}, shown, anatomy)

    def worst(
        self, batches: Sequence[Sequence[int]], found: Sequence[Findings]
    ) -> tuple[list[Shown], Sequence[Callable[[], Shown]]]:
        """δ of the first's worst slices of all at shown_eps, but for those shown anyway; none where none is shown.

        What was kept of it, and pieces of work that give the rest. Which are the worst is known only once all are
        judged; of a batch that holds several all but one are gone by then, and it is attacked again as it was, whole
        and from the largest radius, which finds the same to the bit.
        """
        if not self.shown:
            return [], []
        first, place = next(iter(self.arms)), self.radii.index(self.shown_eps)
        errors = np.concatenate([each.arms[first].attacked[place].worst for each in found])
        judged = [index for indices in batches for index in indices]
        wanted = {judged[at] for at in worst_places(errors)} - self.shown
        kept = [each.shown.only(wanted) for each in found]
        gone = wanted.difference(*(each.indices for each in kept))
        again = [partial(self._again, indices, gone) for indices in batches if not gone.isdisjoint(indices)]
        return kept, again

    def _again(self, indices: Sequence[int], wanted: Collection[int]) -> Shown:
        y, x = self.experiment.pair(indices)
        deltas = sweep(next(iter(self.arms.values())), y, x, self.radii, self.attack)
        return _those(
            wanted, indices, next(delta for errors, delta in deltas if errors.eps == self.shown_eps)
        )


def _those(wanted: Collection[int], indices: Sequence[int], delta: Tensor) -> Shown:
    return Shown(list(indices), delta.cpu().numpy()).only(wanted)


def judge(
    f: Reconstructor, y: Tensor, x: Tensor, radii: Sequence[float], attack: ProjectedGradientAscent
) -> tuple[Judged, dict[float, Tensor]]:
    """f on a batch, and the δ found at every radius."""
    with torch.no_grad():
        images = (f(y), x)
    # Without the axis of a single channel.
    estimates, truths = (each.cpu().numpy()[:, 0 if each.shape[1] == 1 else slice(None)] for each in images)
    clean = [quality(*pair) for pair in zip(estimates, truths, strict=True)]
    found = sweep(f, y, x, radii, attack)
    attacked = [errors for errors, _ in found]
    if not all(np.isfinite(errors.worst).all() for errors in attacked):
        raise UserError(
            "the reconstructor gives values that are not finite under attack: nothing can be measured"
        )
    return Judged(clean, attacked, x[0].numel()), {errors.eps: delta for errors, delta in found}


def summary(
    batches: Sequence[Judged], chosen: Sequence[int], patients: Sequence[str], *, in_hu: bool = True
) -> dict[str, Any]:
    """Clean quality, the curve and each slice by itself, over batches that together are all slices.

    chosen, patients: the slices' indices in the store, and whose they are, in their order.
    """
    clean = [each for batch in batches for each in batch.clean]
    return {
        "clean": mean_quality(clean, in_hu=in_hu),
        "curve": curve_rows([batch.attacked for batch in batches], batches[0].pixels, patients),
        "slices": {
            "index": list(chosen),
            "patient": list(patients),
            "mse": [each.mse for each in clean],
            "ssim": [each.ssim for each in clean],
            "worst": {
                f"{found[0].eps:g}": [error for each in found for error in each.worst.tolist()]
                for found in zip(*(batch.attacked for batch in batches), strict=True)
            },
        },
    }

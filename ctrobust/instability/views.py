"""Test 3, more views at test time than in training: whether the error falls, as that of FBP does."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ctrobust.core.geometry import Geometry
from ctrobust.core.seeds import derive_seed
from ctrobust.evaluate.controls import Control
from ctrobust.evaluate.metrics import mean_quality, quality
from ctrobust.operators import Projector
from ctrobust.operators.measurement import measure
from ctrobust.reconstruct import FilteredBackProjection, LearnedReconstructor
from ctrobust.threat.ascent import Reconstructor, evaluating, exact_arithmetic
from ctrobust.threat.image_domain import operator_of

BATCH_SIZE = 8


def rebuilt(f: Any, A: Projector) -> Reconstructor:
    """The same network behind another operator.

    Nothing has to be rescaled: FBP weighs a view by the angle it stands for, so that its image keeps its unit however
    many there are, and only streaks and noise shrink. An f of one's own that looks at y or Aᵀy itself has to see to
    that: Aᵀy grows in proportion to the views, and so does ‖A‖², the step of an unrolled iteration.
    A control keeps its settings: TV's weight is then set against more readings, and so counts for less.
    Raises ValueError on an f that is not ours.
    """
    if isinstance(f, LearnedReconstructor):
        return LearnedReconstructor(A, f.network, f.window).train(f.training)
    if isinstance(f, FilteredBackProjection):
        return FilteredBackProjection(A, f.window)
    if isinstance(f, Control):
        return replace(f, projector=A)
    raise ValueError(f"f, a {type(f).__name__}: give `rebuild`, that makes it anew for a Projector")


def more_views(
    f: Any,
    x: Tensor,
    views: Sequence[int],
    *,
    rebuild: Callable[[Any, Projector], Reconstructor] = rebuilt,
    photons: float | None = None,
    seed: int = 0,
    A: Projector | None = None,
) -> list[dict[str, Any]]:
    """Errors of f where the scan has more (or fewer) views than f.projector's, over the same arc, equally spaced.

    A row for each number of views: views; trained, whether it is f's own number; errors, ‖f(A x) − x‖₂² of each slice
    summed over pixels, and squared_error, their mean; mse, ssim, psnr_db, rmse_hu as in result.json.
    x: (B, 1, H, W). photons: N₀ per ray at f's own number of views; the dose of the whole scan is held, so that with
    more views each has less. Without (Antun et al.), more views only add to what is known, and an error that grows
    is f's. A: of f's own scan, f.projector where it is not given.
    Raises ValueError where f's views are not equally spaced.
    """
    own: Projector = operator_of(f, A)
    trained = len(own.geometry.angles)
    rows = []
    for number in views:
        other = Projector(with_views(own.geometry, number), own.backend, own.device)
        dose = None if photons is None else photons * trained / number
        seeds = [derive_seed(seed, "views", number, index) for index in range(len(x))]
        y = measure(other, x, dose, seeds)
        g = rebuild(f, other)
        with evaluating(g), exact_arithmetic(), torch.no_grad():
            found = torch.cat([g(some) for some in torch.split(y, BATCH_SIZE)])
        errors = (found - x).double().square().flatten(1).sum(1)
        pairs = zip(found[:, 0].cpu().numpy(), x[:, 0].cpu().numpy(), strict=True)
        rows.append(
            {"views": number, "trained": number == trained, "errors": errors.tolist()}
            | {"squared_error": float(errors.mean())}
            | mean_quality([quality(estimate, truth) for estimate, truth in pairs])
        )
    return rows


def with_views(geometry: Geometry, number: int) -> Geometry:
    """The same arc in `number` equal parts, a view at the same place of each; ValueError where they are not equal."""
    angles = np.asarray(geometry.angles)
    gaps = np.diff(angles)
    if not len(gaps) or not np.allclose(gaps, gaps[0], rtol=1e-6) or number < 1:
        raise ValueError(
            f"{len(angles)} views, {number} wanted: give at least 1, of a scan of equally spaced views"
        )
    first = angles[0] / gaps[0]
    part = gaps[0] * len(angles) / number
    start, offset = gaps[0] * np.floor(first), first - np.floor(first)
    return geometry.but(angles=tuple((start + part * (np.arange(number) + offset)).tolist()))

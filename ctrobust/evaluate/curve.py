"""The robustness curve: worst-case error against the size of the perturbation, found by independent ascent."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctrobust.core.seeds import derive_seed
from ctrobust.core.statistics import clustered_interval
from ctrobust.evaluate.metrics import psnr_db
from ctrobust.threat import L2Ball, ProjectedGradientAscent
from ctrobust.threat.ascent import Reconstructor, evaluating, exact_arithmetic, squared_error
from ctrobust.threat.budget import per_sample

RANDOM_DRAWS = 8
BATCH_SIZE = 8


@dataclass(frozen=True)
class Errors:
    """‖f(y + δ) − x‖² of one batch at one radius, both (B,): under the worst δ found, and the mean under random δ."""

    eps: float
    worst: NDArray[np.float64]
    random: NDArray[np.float64]


def sweep(
    f: Reconstructor, y: Tensor, x: Tensor, eps: Sequence[float], attack: ProjectedGradientAscent
) -> list[tuple[Errors, Tensor]]:
    """Attack one batch at every radius, in ascending order of eps; with each its δ, (B, 1, views, bins).

    From the largest radius to the smallest, each warm-started with the last; then every sample keeps the worst
    feasible δ of all smaller radii, so that errors never fall as eps grows.
    """
    with evaluating(f), exact_arithmetic():
        return _sweep(f, y, x, sorted(set(eps)), attack)


def _sweep(
    f: Reconstructor, y: Tensor, x: Tensor, radii: Sequence[float], attack: ProjectedGradientAscent
) -> list[tuple[Errors, Tensor]]:
    deltas: dict[float, Tensor] = {}
    warm = None
    for radius in reversed(radii):
        warm = deltas[radius] = attack.with_eps(radius)(f, y, x, start=warm)
    found: list[tuple[Errors, Tensor]] = []
    for radius in radii:
        delta, worst = deltas[radius], squared_error(f, y + deltas[radius], x).double().cpu().numpy()
        if found:
            smaller, of_smaller = found[-1]
            keep = torch.from_numpy(smaller.worst > worst).to(delta.device)
            delta = torch.where(per_sample(keep), of_smaller, delta)
            worst = np.maximum(worst, smaller.worst)
        found.append((Errors(radius, worst, _random_control(f, y, x, attack.with_eps(radius))), delta))
    return found


def robustness_curve(
    f: Reconstructor,
    y: Tensor,
    x: Tensor,
    eps: Sequence[float] = (0.0, 0.01, 0.02),
    attack: ProjectedGradientAscent | None = None,
    groups: Sequence[object] | None = None,
) -> list[dict[str, Any]]:
    """Rows of eps, rho, rho_ci95, random, psnr_db, in ascending order of eps.

    y: (N, 1, views, bins) as measured; x: (N, 1, H, W). rho: mean over slices of the largest ‖f(yᵢ + δᵢ) − xᵢ‖₂²
    found with ‖δᵢ‖₂ ≤ eps·‖yᵢ‖₂. random: the same under random δ on the sphere, mean of 8 draws. groups: the
    patient of each slice; without them, or with fewer than 6, rho_ci95 is None.
    attack: by default 100 steps from 3 starts; of the one given, the radius is replaced. With a ball that is not
    relative, eps is in mm of water.
    """
    attack = attack or ProjectedGradientAscent(L2Ball(max(eps)))
    batches = [
        [errors for errors, _ in sweep(f, y[i : i + BATCH_SIZE], x[i : i + BATCH_SIZE], eps, attack)]
        for i in range(0, len(y), BATCH_SIZE)
    ]
    return curve_rows(batches, x[0].numel(), groups)


def curve_rows(
    batches: Sequence[Sequence[Errors]], pixels: int, groups: Sequence[object] | None
) -> list[dict[str, Any]]:
    """The rows of `robustness_curve` from batches that together are all slices."""
    rows = []
    for found in zip(*batches, strict=True):
        worst = np.concatenate([each.worst for each in found])
        rows.append(
            {
                "eps": found[0].eps,
                **rho_fields(worst, groups),
                "random": float(np.concatenate([each.random for each in found]).mean()),
                "psnr_db": float(psnr_db(worst / pixels).mean()),
            }
        )
    return rows


def _random_control(
    f: Reconstructor, y: Tensor, x: Tensor, attack: ProjectedGradientAscent
) -> NDArray[np.float64]:
    """(B,) mean error over draws on the attack's own sphere."""
    draws = 1 if attack.budget.eps == 0 else RANDOM_DRAWS
    errors = [
        squared_error(f, y + attack.budget.random(y, derive_seed(attack.seed, "control", draw)), x)
        for draw in range(draws)
    ]
    return np.asarray(torch.stack(errors).double().mean(0).cpu().numpy())


def rho_fields(errors: NDArray[np.float64], patients: Sequence[object] | None) -> dict[str, Any]:
    """What a row of result.json says of (N,) errors: rho, and rho_ci95, None where the patients are unknown or few."""
    found = None if patients is None else clustered_interval(errors, patients)
    return {"rho": float(errors.mean()), "rho_ci95": None if found is None else list(found)}

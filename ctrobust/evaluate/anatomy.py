"""Where in the body the errors lie: inside it, and by what the truth shows there (lung, soft tissue, bone)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctrobust.core.statistics import clustered_interval
from ctrobust.instability.places import body_mask

Array = NDArray[np.float64]

RANGES_HU: dict[str, tuple[float | None, float | None]] = {
    "lung": (None, -500.0),
    "soft tissue": (-160.0, 240.0),
    "bone": (240.0, None),
}
"""From, up to but without: HU of the truth, inside the body. Lung with its airways, and gas in the bowel; soft tissue
as its usual window (W 400, L 40) has it; bone with calcium, contrast agent and metal. None overlaps another, so no
error counts twice; what lies between lung and soft tissue is fat's edge and partial volume and counts in the body
alone."""

FEWEST_PIXELS = 32
"""A slice with fewer pixels of a region has no error there worth a mean."""


class RegionSums(NamedTuple):
    """Of one region, a slice each, (B,): pixels, Σ (x̂ − x)², Σ (x̂ − x)."""

    pixels: Array
    squared: Array
    signed: Array


def regions(x: Tensor) -> dict[str, Tensor]:
    """The masks by name, (B, 1, H, W) bool: body, outside the body, and those of `RANGES_HU`. x: the truth."""
    body, hu = body_mask(x).to(x.device), 1000 * (x.double() - 1)
    masks = {"body": body, "outside": ~body}
    for name, (low, high) in RANGES_HU.items():
        above = hu >= (-np.inf if low is None else low)
        masks[name] = body & above & (hu < (np.inf if high is None else high))
    return masks


def region_sums(estimate: Tensor, x: Tensor) -> dict[str, RegionSums]:
    """Errors of one batch by region; estimate, x: (B, 1, H, W)."""
    error = (estimate - x).double().flatten(1)
    found = {}
    for name, mask in regions(x).items():
        weight = mask.flatten(1).double()
        sums = (weight.sum(1), (weight * error.square()).sum(1), (weight * error).sum(1))
        found[name] = RegionSums(*(each.cpu().numpy() for each in sums))
    return found


def anatomy_rows(
    clean: Sequence[dict[str, RegionSums]],
    attacked: Sequence[dict[str, RegionSums]],
    patients: Sequence[object],
) -> list[dict[str, Any]]:
    """One row a region from batches that together are all slices; `patients` in their order.

    region; hu: [from, up to], null where open or where HU does not decide; pixels: share of the image; n_slices: with
    at least 32 pixels of it; clean and attacked: rmse_hu, a slice each and then the mean, its interval clustered by
    patient (null with fewer than 6), bias_hu (mean of x̂ − x) and share of the whole squared error. Null where there is
    no such slice.
    """
    before, after = _joined(clean), _joined(attacked)
    all_pixels = before["body"].pixels + before["outside"].pixels
    rows = []
    for name, sums in before.items():
        enough = sums.pixels >= FEWEST_PIXELS
        kept = [patient for patient, taken in zip(patients, enough, strict=True) if taken]
        rows.append(
            {
                "region": name,
                "hu": list(RANGES_HU.get(name, (None, None))),
                "pixels": float(sums.pixels.sum() / all_pixels.sum()),
                "n_slices": int(enough.sum()),
                "clean": _figures(before, name, enough, kept),
                "attacked": _figures(after, name, enough, kept),
            }
        )
    return rows


@torch.no_grad()
def anatomy(
    f: Any, y: Tensor, x: Tensor, delta: Tensor, patients: Sequence[object] | None = None
) -> list[dict[str, Any]]:
    """`anatomy_rows` of f(y) and f(y + δ) on one batch; without patients every slice is its own."""
    named = range(len(x)) if patients is None else patients
    return anatomy_rows([region_sums(f(y), x)], [region_sums(f(y + delta), x)], list(named))


def _joined(batches: Sequence[dict[str, RegionSums]]) -> dict[str, RegionSums]:
    return {
        name: RegionSums(
            *(np.concatenate(parts) for parts in zip(*(batch[name] for batch in batches), strict=True))
        )
        for name in batches[0]
    }


def _figures(
    sums: dict[str, RegionSums], name: str, enough: NDArray[np.bool_], patients: Sequence[object]
) -> dict[str, Any]:
    whole = float(sums["body"].squared.sum() + sums["outside"].squared.sum())
    figures: dict[str, Any] = {"share": float(sums[name].squared.sum()) / whole if whole > 0 else None}
    if not enough.any():
        return figures | {"rmse_hu": None, "rmse_hu_ci95": None, "bias_hu": None}
    pixels, squared, signed = (each[enough] for each in sums[name])
    rmse = 1000 * np.sqrt(squared / pixels)
    interval = clustered_interval(rmse, patients)
    return figures | {
        "rmse_hu": float(rmse.mean()),
        "rmse_hu_ci95": None if interval is None else list(interval),
        "bias_hu": float((1000 * signed / pixels).mean()),
    }

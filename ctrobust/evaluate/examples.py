"""The slices shown on the page: truth, reconstructions clean and attacked, and the perturbation found."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctrobust.experiment import Experiment
from ctrobust.threat.ascent import Reconstructor

FIELDS = ("truth", "y", "delta", "fbp_clean", "fbp_attacked", "f_clean", "f_attacked")


class Shown(NamedTuple):
    """Slices of one batch, perhaps none, and the δ found for them: (k, C, views, bins)."""

    indices: list[int]
    delta: NDArray[np.float32]

    def only(self, wanted: Collection[int]) -> "Shown":
        rows = [row for row, index in enumerate(self.indices) if index in wanted]
        return Shown([self.indices[row] for row in rows], self.delta[rows])


@torch.no_grad()
def draw(
    f: Reconstructor,
    fbp: Reconstructor,
    experiment: Experiment,
    shown: Sequence[Shown],
    eps: float,
    worst: Sequence[Shown] = (),
) -> dict[str, Any]:
    """slice_index, patient (k,); pixel_mm, eps; images (k, H, W) as x, in colour (k, H, W, 3); y and delta
    (k, views, bins), the channels of colours below one another; in_advance (k,): false of those in `worst`.
    """
    in_advance = sum(len(batch.indices) for batch in shown)
    shown = [*shown, *worst]
    indices = [index for batch in shown for index in batch.indices]
    kept: dict[str, list[NDArray[np.float32]]] = {name: [] for name in FIELDS}
    for batch in shown:
        if not batch.indices:
            continue
        y, x = experiment.pair(batch.indices)
        delta = torch.from_numpy(batch.delta).to(y)
        images = (x, y, delta, fbp(y), fbp(y + delta), f(y), f(y + delta))
        for name, image in zip(FIELDS, images, strict=True):
            kept[name].extend(_flattened(image) if name in ("y", "delta") else _channels_last(image))
    return {
        "slice_index": np.asarray(indices, np.int64),
        "in_advance": np.arange(len(indices)) < in_advance,
        "patient": np.asarray([experiment.store.patients[index] for index in indices], str),
        "pixel_mm": experiment.recipe.scan.pixel_mm,
        "eps": eps,
        **{name: np.asarray(images, np.float32) for name, images in kept.items()},
    }


def _channels_last(images: Tensor) -> NDArray[np.float32]:
    """(k, 1, H, W) → (k, H, W); (k, C, H, W) → (k, H, W, C)."""
    pixels: NDArray[np.float32] = images.movedim(1, -1).cpu().numpy()
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels


def _flattened(measured: Tensor) -> NDArray[np.float32]:
    """(k, C, views, bins) → (k, C·views, bins)."""
    rows: NDArray[np.float32] = measured.flatten(1, 2).cpu().numpy()
    return rows

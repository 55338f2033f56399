"""The slices shown on the page: truth, reconstructions clean and attacked, and the perturbation found."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctrobust.experiment import Experiment
from ctrobust.reconstruct import FilteredBackProjection, LearnedReconstructor

FIELDS = ("truth", "y", "delta", "fbp_clean", "fbp_attacked", "f_clean", "f_attacked")


class Gallery:
    """Collects arrays for `result.examples.npz` while batches pass: see `arrays`."""

    def __init__(self, f: LearnedReconstructor, wanted: list[int], eps: float) -> None:
        self._f, self._fbp = f, FilteredBackProjection(f.projector, f.window)
        self._wanted, self.eps = set(wanted), eps
        self._indices: list[int] = []
        self._kept: dict[str, list[NDArray[np.float32]]] = {name: [] for name in FIELDS}

    @torch.no_grad()
    def add(self, indices: list[int], y: Tensor, x: Tensor, delta: Tensor) -> None:
        """Keep those of this batch that are wanted; δ as found for f at `eps`."""
        rows = [row for row, index in enumerate(indices) if index in self._wanted]
        if not rows:
            return
        y, x, delta = y[rows], x[rows], delta[rows]
        images = (x, y, delta, self._fbp(y), self._fbp(y + delta), self._f(y), self._f(y + delta))
        for name, batch in zip(FIELDS, images, strict=True):
            self._kept[name].extend(batch[:, 0].cpu().numpy())
        self._indices += [indices[row] for row in rows]

    def arrays(self, experiment: Experiment) -> dict[str, Any]:
        """slice_index, patient (k,); pixel_mm, eps; images (k, H, W) as x; y and delta (k, views, bins)."""
        return {
            "slice_index": np.asarray(self._indices, np.int64),
            "patient": np.asarray([experiment.store.patients[index] for index in self._indices], str),
            "pixel_mm": experiment.projector.geometry.pixel_mm,
            "eps": self.eps,
            **{name: np.asarray(images, np.float32) for name, images in self._kept.items()},
        }

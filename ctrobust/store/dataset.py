"""Slices of a store as the network's images x, on one pixel grid, for torch's loaders."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ctrobust.core.errors import UserError
from ctrobust.core.grid import regrid
from ctrobust.core.units import AIR_HU, relative_from_hu
from ctrobust.store.reader import Store

MEMORY_BUDGET_BYTES = 2 * 2**30
"""Slices are kept in memory once read while all of them fit in this, and read again every epoch beyond."""


class SliceDataset(Dataset[tuple[Tensor, int]]):
    """Yields (x, index in the store): x (1, size, size) float32, x = max(1 + HU/1000, 0).

    Every slice is brought to `size` pixels of `pixel_mm` by exact area averages; what the new grid holds beyond
    the old one is air.
    """

    def __init__(self, store: Store, indices: Sequence[int], *, size: int, pixel_mm: float) -> None:
        self.store, self.indices = store, list(indices)
        self.size, self.pixel_mm = size, pixel_mm
        self.in_memory = 4 * size**2 * len(self.indices) <= MEMORY_BUDGET_BYTES
        self._kept: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        index = self.indices[position]
        if index in self._kept:
            return self._kept[index], index
        x = torch.from_numpy(self._read(index))[None]
        if self.in_memory:
            self._kept[index] = x
        return x, index

    def _read(self, index: int) -> NDArray[np.float32]:
        rows_mm, columns_mm = self.store.pixel_mm[index]
        wanted = (self.pixel_mm, self.pixel_mm)
        # Clip to air first: padding below it must not darken its neighbours.
        image = np.maximum(self.store.image(index), np.float32(AIR_HU))
        hu = regrid(image, (rows_mm, columns_mm), (self.size, self.size), wanted, AIR_HU)
        return relative_from_hu(hu)


def common_pixel_mm(store: Store, indices: Sequence[int], size: int) -> float:
    """Median over slices of the pixel size once shrunk to `size` pixels with the field of view kept."""
    return float(np.median(_sides_mm(store).max(axis=1)[list(indices)]) / size)


def require_pixel_mm(store: Store, indices: Sequence[int], size: int, pixel_mm: float) -> None:
    """Raise UserError where a slice of another pixel size would need resampling."""
    sizes = _sides_mm(store)[list(indices)] / size
    off = np.abs(sizes / pixel_mm - 1).max(axis=1) > 1e-3
    if off.any():
        raise UserError(
            f"data.resample is false, but {off.sum()} of {len(off)} slices have pixels of {sizes.min():.3f} to "
            f"{sizes.max():.3f} mm instead of {pixel_mm:.3f}: allow resampling or ingest them apart"
        )


def _sides_mm(store: Store) -> NDArray[np.float64]:
    """(N, 2) height and width of every slice, in mm."""
    sides: NDArray[np.float64] = store.pixel_mm * np.asarray(store.image_shape)
    return sides

"""Slices of a store as the network's images x, on one pixel grid, for torch's loaders."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ctrobust.core.errors import UserError
from ctrobust.core.grid import regrid
from ctrobust.core.units import AIR_HU
from ctrobust.store.reader import Store

MEMORY_BUDGET_BYTES = 2 * 2**30
"""Slices are kept in memory once read while all of them fit in this, and read again every epoch beyond."""


class SliceDataset(Dataset[tuple[Tensor, int]]):
    """Yields (x, index in the store): x (1, size, size) float32, x = max(1 + HU/1000, 0).

    `dataset[i]` is slice `indices[i]` brought to `size` pixels of `pixel_mm` about its centre, by exact area averages.
    `dataset[i, seed]` is a crop: as large, but anywhere on the slice where that is larger; equal seeds cut equal
    crops, in whichever process. What the new grid holds beyond the slice is air. May be pickled and used after a fork.
    """

    def __init__(self, store: Store, indices: Sequence[int], *, size: int, pixel_mm: float) -> None:
        self.store, self.indices = store, list(indices)
        self.size, self.pixel_mm = size, pixel_mm
        self.in_memory = 4 * size**2 * len(self.indices) <= MEMORY_BUDGET_BYTES
        self._kept: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, item: int | tuple[int, int]) -> tuple[Tensor, int]:
        if isinstance(item, tuple):
            position, seed = item
            places = np.random.default_rng(seed).random(2).tolist()
            return self._read(self.indices[position], places), self.indices[position]
        index = self.indices[item]
        if index in self._kept:
            return self._kept[index], index
        x = self._read(index)
        if self.in_memory:
            self._kept[index] = x
        return x, index

    def _read(self, index: int, places: Sequence[float | None] = (None, None)) -> Tensor:
        own_mm, wanted = self.store.pixel_mm[index].tolist(), (self.pixel_mm, self.pixel_mm)
        window = tuple(
            _window(side, self.size * self.pixel_mm / mm, place)
            for side, mm, place in zip(self.store.image_shape, own_mm, places, strict=True)
        )
        # Clipped to air first: padding below it must not darken its neighbours.
        image = np.maximum(self.store.image(index)[window], np.float32(AIR_HU))
        x = regrid(image, (own_mm[0], own_mm[1]), (self.size, self.size), wanted, AIR_HU)
        # 1 + HU/1000 in place: memory asked for anew costs more than the arithmetic.
        x /= 1000
        x += 1
        return torch.from_numpy(x)[None]


def _window(side: int, wanted: float, place: float | None) -> slice:
    """Of `side` pixels those that hold `wanted`: the middle, or from `place` in [0, 1) of what there is to spare."""
    # 128 pixels of 0.7 mm are 128 pixels of 0.7 mm, whatever the last digit of the quotient.
    spare = max(0, math.floor(side - wanted + 1e-6))
    if place is None:
        return slice(spare // 2, side - spare // 2)
    first = int(place * (spare + 1))
    return slice(first, first + side - spare)


def common_pixel_mm(store: Store, indices: Sequence[int], size: int, *, crop: bool = False) -> float:
    """Median over slices of the pixel size once shrunk to `size` pixels with the field of view kept.

    crop: of their own pixel size instead, since crops leave the field of view.
    """
    return float(np.median(_pixels_mm(store, size, crop).max(axis=1)[list(indices)]))


def require_pixel_mm(
    store: Store, indices: Sequence[int], size: int, pixel_mm: float, *, crop: bool = False
) -> None:
    """Raise UserError where a slice of another pixel size would need resampling."""
    sizes = _pixels_mm(store, size, crop)[list(indices)]
    off = np.abs(sizes / pixel_mm - 1).max(axis=1) > 1e-3
    if off.any():
        raise UserError(
            f"data.resample is false, but {off.sum()} of {len(off)} slices have pixels of {sizes.min():.3f} to "
            f"{sizes.max():.3f} mm instead of {pixel_mm:.3f}: allow resampling or ingest them apart"
        )


def _pixels_mm(store: Store, size: int, crop: bool) -> NDArray[np.float64]:
    """(N, 2) row and column spacing of every slice: its own, or with the whole field of view in `size` pixels."""
    shrunk: NDArray[np.float64] = store.pixel_mm * np.asarray(store.image_shape) / size
    return store.pixel_mm if crop else shrunk

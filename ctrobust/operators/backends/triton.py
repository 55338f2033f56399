"""A on a CUDA device with no matrix: the march of `operators.rays` in Triton, matched and with no atomic sums.

Forward, a program marches some rays through some slices. Transposed, a program owns some pixels of some slices and
gathers, view by view, from the few bins whose rays pass within a pixel of each, so that the bits do not depend on the
order of the programs.
"""

import os

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from ctrobust.core.geometry import Geometry
from ctrobust.operators.rays import FRACTION_BITS, shadows, trace

RAYS, PIXELS, SLICES = 64, 64, 8
"""How many a program takes. Not tuned on a GPU."""

BITS = tl.constexpr(FRACTION_BITS)
MASK = tl.constexpr((1 << FRACTION_BITS) - 1)
UNIT = tl.constexpr(2.0**-FRACTION_BITS)


class TritonBackend:
    """Compiled for the device at first use. float32 and float64."""

    name = "triton"
    matched = True

    def __init__(self, geometry: Geometry, device: torch.device) -> None:
        if device.type != "cuda" and not interpreted():
            raise ValueError(f"device {str(device)!r}: the triton back-end computes on CUDA; take 'auto'")
        rays = trace(geometry)
        self._geometry, self._count = geometry, len(rays.start)
        self._rays = [torch.from_numpy(np.ascontiguousarray(field)).to(device) for field in rays]
        table = shadows(geometry)
        self._shadows, self._reach = torch.from_numpy(table).to(device), _reach(table, geometry)

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = self._geometry.image_shape
        y = x.new_empty(len(x), 1, *self._geometry.sinogram_shape)
        # Rays that step over columns read the transposed image: neighbouring rays then read neighbouring numbers.
        both = torch.stack([x.reshape(len(x), -1), x.transpose(-1, -2).reshape(len(x), -1)], 1).contiguous()
        grid = triton.cdiv(self._count, RAYS), triton.cdiv(len(x), SLICES)
        _project[grid](*self._rays, both, y, self._count, rows, columns, len(x), RAYS, SLICES)
        return y

    def adjoint(self, y: Tensor) -> Tensor:
        rows, columns = self._geometry.image_shape
        views, bins = self._geometry.sinogram_shape
        x, y = y.new_empty(len(y), 1, rows, columns), y.contiguous()
        grid = triton.cdiv(rows * columns, PIXELS), triton.cdiv(len(y), SLICES)
        over_rows, start, slope, _, _, length, sharpness = self._rays
        candidates = int(np.ceil(2 * self._reach)) + 1
        _backproject[grid](
            *(over_rows, start, slope, length, sharpness, self._shadows, y, x),
            *(views, bins, rows, columns, len(y), self._reach, candidates, PIXELS, SLICES),
        )
        return x


def interpreted() -> bool:
    """Whether Triton runs its kernels on the CPU, step by step, for tests."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def _reach(table: np.ndarray, geometry: Geometry) -> float:
    """By how many bins, at most, a ray that touches a pixel misses the one through the pixel's centre."""
    rows, columns = geometry.image_shape
    edge = [(r, c) for r in (-1, rows) for c in range(-1, columns + 1)]
    edge += [(r, c) for c in (-1, columns) for r in range(-1, rows + 1)]
    row, column = np.array(edge, float).T
    a, b, c, d, e, f = table.T[:, :, None]

    def met(row: np.ndarray, column: np.ndarray) -> np.ndarray:
        depth = d + e * column + f * row
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(depth > 0, (a + b * column + c * row) / depth, np.inf)

    here = met(row, column)
    with np.errstate(invalid="ignore"):
        moves = [np.abs(met(row + r, column + c) - here) for r, c in ((1, 0), (-1, 0), (0, 1), (0, -1))]
    largest = float(np.max(np.nan_to_num(moves, nan=np.inf)))
    return min(largest, geometry.bins) * (1 + 1e-6) + 1e-6


@triton.jit
def _project(
    over_rows, start, slope, first, stop, length, sharpness, image, sinogram,
    count, rows, columns, batch, RAYS: tl.constexpr, SLICES: tl.constexpr,
):  # fmt: skip
    ray = tl.program_id(0) * RAYS + tl.arange(0, RAYS)
    slices = (tl.program_id(1) * SLICES + tl.arange(0, SLICES))[:, None].to(tl.int64)
    known = ray < count
    over = tl.load(over_rows + ray, mask=known, other=0).to(tl.int1)
    rise = tl.load(slope + ray, mask=known, other=0)
    begin = tl.load(first + ray, mask=known, other=rows + columns)
    end = tl.load(stop + ray, mask=known, other=0)
    sharp = tl.load(sharpness + ray, mask=known, other=1).to(image.dtype.element_ty)
    width = tl.where(over, columns, rows)
    from_step, to_step = tl.min(begin, 0), tl.max(end, 0)
    place = tl.load(start + ray, mask=known, other=0) + from_step * rise
    plane = image + slices * (2 * rows * columns) + tl.where(over, 0, rows * columns)[None]
    total = tl.zeros((SLICES, RAYS), image.dtype.element_ty)
    for step in range(from_step, to_step):
        k = place >> BITS
        t = (place & MASK).to(image.dtype.element_ty) * UNIT
        share = tl.minimum(tl.maximum((t - 0.5) * sharp + 0.5, 0.0), 1.0)[None]
        met = (step >= begin) & (step < end)
        at = plane + (step * width + k)[None]
        inside = slices < batch
        left = tl.load(at, mask=inside & (met & (k >= 0))[None], other=0)
        right = tl.load(at + 1, mask=inside & (met & (k + 1 < width))[None], other=0)
        total += left + share * (right - left)
        place += rise
    total *= tl.load(length + ray, mask=known, other=0).to(image.dtype.element_ty)[None]
    tl.store(sinogram + slices * count + ray[None], total, mask=(slices < batch) & known[None])


@triton.jit
def _backproject(
    over_rows, start, slope, length, sharpness, shadow, sinogram, image,
    views, bins, rows, columns, batch, reach,
    CANDIDATES: tl.constexpr, PIXELS: tl.constexpr, SLICES: tl.constexpr,
):  # fmt: skip
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    slices = (tl.program_id(1) * SLICES + tl.arange(0, SLICES))[:, None].to(tl.int64)
    row, column = (pixel // columns).to(tl.int64), (pixel % columns).to(tl.int64)
    inside = pixel < rows * columns
    total = tl.zeros((SLICES, PIXELS), image.dtype.element_ty)
    for view in range(views):
        s = shadow + 6 * view
        above = tl.load(s) + tl.load(s + 1) * column + tl.load(s + 2) * row
        below = tl.load(s + 3) + tl.load(s + 4) * column + tl.load(s + 5) * row
        lowest = tl.ceil(above / below - reach).to(tl.int64)
        for n in range(CANDIDATES):
            bin = lowest + n
            known = inside & (bin >= 0) & (bin < bins)
            ray = view * bins + bin
            over = tl.load(over_rows + ray, mask=known, other=0).to(tl.int1)
            step, across = tl.where(over, row, column), tl.where(over, column, row)
            place = tl.load(start + ray, mask=known, other=0)
            place += step * tl.load(slope + ray, mask=known, other=0) - (across << BITS)
            missed = tl.abs(place).to(image.dtype.element_ty) * UNIT
            sharp = tl.load(sharpness + ray, mask=known, other=1).to(image.dtype.element_ty)
            share = tl.minimum(tl.maximum(0.5 - (missed - 0.5) * sharp, 0.0), 1.0)
            share *= tl.load(length + ray, mask=known, other=0).to(image.dtype.element_ty)
            y = tl.load(
                sinogram + slices * views * bins + ray[None], mask=(slices < batch) & known[None], other=0
            )
            total += share[None] * y
    tl.store(image + slices * (rows * columns) + pixel[None], total, mask=(slices < batch) & inside[None])

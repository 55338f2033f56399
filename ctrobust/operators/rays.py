"""Every ray of a scan as a march over the pixel grid: the one discretisation that all of our back-ends share.

A ray steps over the rows of the image, or over its columns where that brings it forward faster, so that between two
steps it moves by at most one pixel across. At each step it meets two neighbouring pixels, k and k + 1, and its length
in that row is divided between them by its place `across` = k + t:

    share of k + 1 = clip((t − ½)·sharpness + ½, 0, 1)

With sharpness 1 this is Joseph's linear interpolation (IEEE TMI 1982; ASTRA's `linear`), used for parallel beam. With
sharpness 1/|slope| it is the exact length of the ray in each pixel (Siddon, Med. Phys. 1985; ASTRA's `line_fanflat`),
used for fan beam. Places are fixed-point numbers: a march of additions ends where multiplication says it does.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ctrobust.core.geometry import FanBeam, Geometry

FRACTION_BITS = 40
ONE = 1 << FRACTION_BITS
SHARPEST = 2.0**30
"""A ray along the pixels' edges is shared evenly by the two sides."""


class Rays(NamedTuple):
    """(views·bins,) arrays, one entry a ray, in the order of the sinogram.

    over_rows    whether it steps over rows (then `across` counts columns), or the other way round
    start        its place across at step 0, in pixels, fixed point
    slope        by how much that grows a step, fixed point
    first, stop  the steps first ≤ r < stop at which it meets a pixel
    length       mm of the ray in one step
    sharpness    how it is divided between two pixels, see above
    """

    over_rows: NDArray[np.bool_]
    start: NDArray[np.int64]
    slope: NDArray[np.int64]
    first: NDArray[np.int64]
    stop: NDArray[np.int64]
    length: NDArray[np.float64]
    sharpness: NDArray[np.float64]


def trace(geometry: Geometry) -> Rays:
    """The rays of a geometry on its image."""
    points, directions = (part.reshape(-1, 2) for part in geometry.rays())
    rows, columns = geometry.image_shape
    pixel = geometry.pixel_mm
    # In pixels, (column, row): the image's rows count downwards.
    column, row = points[:, 0] / pixel + (columns - 1) / 2, (rows - 1) / 2 - points[:, 1] / pixel
    right, down = directions[:, 0], -directions[:, 1]
    # Joseph's two ways differ at 45°; ASTRA steps over rows there, whatever the rounding of the angle says.
    over_rows = np.abs(right) <= np.abs(down) * (1 + 1e-6)
    forward, sideways = np.where(over_rows, down, right), np.where(over_rows, right, down)
    slope = sideways / forward
    start = np.where(over_rows, column - row * slope, row - column * slope)
    fixed_start, fixed_slope = (np.rint(value * ONE).astype(np.int64) for value in (start, slope))
    steps, width = np.where(over_rows, rows, columns), np.where(over_rows, columns, rows)
    first, stop = _inside(fixed_start, fixed_slope, steps, width)
    line = isinstance(geometry, FanBeam)
    sharpness = 1 / np.maximum(np.abs(slope), 1 / SHARPEST) if line else np.ones_like(slope)
    return Rays(
        over_rows,
        fixed_start,
        fixed_slope,
        first,
        stop,
        pixel * np.hypot(right, down) / np.abs(forward),
        sharpness,
    )


def _inside(
    start: NDArray[np.int64], slope: NDArray[np.int64], steps: NDArray[np.int64], width: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The steps at which −1 ≤ place < width: there k and k + 1 are pixels, or the ring of zeros around them."""
    low, high = -ONE - start, width * ONE - start
    divisor = np.where(slope == 0, 1, slope)
    first = np.where(slope > 0, -(-low // divisor), high // divisor + 1)
    stop = np.where(slope > 0, -(-high // divisor), low // divisor + 1)
    level = (low <= 0) & (high > 0)
    first = np.where(slope == 0, np.where(level, 0, steps), first)
    stop = np.where(slope == 0, steps, stop)
    first = np.clip(first, 0, steps)
    return first, np.clip(stop, first, steps)


def shadows(geometry: Geometry) -> NDArray[np.float64]:
    """(views, 6): where the ray through a place in the image meets the detector, in bins, by view.

    bin = (a + b·column + c·row) / (d + e·column + f·row); for parallel beam e = f = 0. In a fan, the denominator is
    the depth of the place as seen from the source, in mm, times the bin's size.
    """
    rows, columns = geometry.image_shape
    anchor, centre, step = (geometry.vectors[:, i : i + 2] for i in (0, 2, 4))
    origin = np.array([-(columns - 1) / 2, (rows - 1) / 2]) * geometry.pixel_mm
    right, down = np.array([geometry.pixel_mm, 0.0]), np.array([0.0, -geometry.pixel_mm])
    if isinstance(geometry, FanBeam):
        # source + λ(place − source) = centre + bin·step; cross both sides with place − source
        above = [_cross(anchor - centre, v) for v in (origin - anchor, right, down)]
        below = [_cross(step, v) for v in (origin - anchor, right, down)]
    else:
        above = [_cross(v, anchor) for v in (origin - centre, right, down)]
        below = [_cross(step, anchor), np.zeros(len(step)), np.zeros(len(step))]
    middle = (geometry.bins - 1) / 2
    table = np.stack([a + middle * b for a, b in zip(above, below, strict=True)] + below, 1)
    return table * np.sign(table[:, 3:4])


def _cross(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    product: NDArray[np.float64] = one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]
    return product

"""Scan geometries as frozen values. Millimetres and radians throughout; axes as in ASTRA.

Row 0 is the top of the image, x points right, y up, the origin is the centre of the image.
"""

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, SupportsIndex, cast

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, init=False)
class ParallelBeam:
    """Parallel rays: the ray (θ, s) is the line x·cos θ + y·sin θ = s.

    image_shape   (rows, columns)
    angles        θ of every view, radians
    pixel_mm      side of the square pixels
    bins, bin_mm  number and spacing of the detector bins, centred on s = 0
    """

    image_shape: tuple[int, int]
    angles: tuple[float, ...]
    pixel_mm: float
    bins: int
    bin_mm: float

    def __init__(
        self,
        image_size: SupportsIndex | tuple[SupportsIndex, SupportsIndex],
        views: SupportsIndex | Sequence[float],
        *,
        pixel_mm: float = 1.0,
        bins: int | None = None,
        bin_mm: float | None = None,
    ) -> None:
        """`views`: a number (uniform on [0, π)) or the angles in radians; `bins` default: cover the diagonal.

        Raises ValueError on a size, number or angle that no scanner has.
        """
        shape = _image_shape(image_size)
        bin_mm = pixel_mm if bin_mm is None else bin_mm
        for name, value in (("pixel_mm", pixel_mm), ("bin_mm", bin_mm)):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} {value!r}: give a positive number of millimetres")
        if bins is None:
            bins = math.ceil(math.hypot(*shape) * pixel_mm / bin_mm - 1e-9)
        if bins < 1:
            raise ValueError(f"bins {bins!r}: give at least one detector bin")
        for name, field in (
            ("image_shape", shape),
            ("angles", _angles(views)),
            ("pixel_mm", float(pixel_mm)),
            ("bins", int(bins)),
            ("bin_mm", float(bin_mm)),
        ):
            object.__setattr__(self, name, field)

    @property
    def sinogram_shape(self) -> tuple[int, int]:
        """(views, bins)"""
        return len(self.angles), self.bins

    @cached_property
    def view_weights(self) -> NDArray[np.float64]:
        """(views,) share of [0, π) that each view stands for; π/views each when uniform.

        A gap more than three times the median is an unseen wedge, not coarse sampling: no view is made to
        stand for it, so a limited-angle scan weighs its end views like the others.
        """
        angles = np.mod(np.asarray(self.angles), np.pi)
        order = np.argsort(angles, kind="stable")
        gaps = np.diff(angles[order], append=angles[order[0]] + np.pi)
        usual = np.median(gaps)
        gaps = np.where(gaps > 3 * usual, usual, gaps) if usual > 0 else gaps
        weights: NDArray[np.float64] = np.empty_like(gaps)
        weights[order] = (gaps + np.roll(gaps, 1)) / 2
        return weights


def _image_shape(image_size: SupportsIndex | tuple[SupportsIndex, SupportsIndex]) -> tuple[int, int]:
    pair = image_size if isinstance(image_size, tuple) else (image_size, image_size)
    try:
        rows, columns = map(operator.index, pair)
    except (TypeError, ValueError):
        rows = columns = 0
    if min(rows, columns) < 1:
        raise ValueError(f"image_size {image_size!r}: give one positive whole number or (rows, columns)")
    return rows, columns


def _angles(views: SupportsIndex | Sequence[float]) -> tuple[float, ...]:
    # Arrays claim to be an index too: what has no dimension is a number.
    if np.ndim(cast(Any, views)) == 0:
        count = operator.index(cast(SupportsIndex, views))
        if count < 1:
            raise ValueError(f"views {count}: give at least one view")
        return tuple((np.pi * np.arange(count) / count).tolist())
    angles = tuple(float(angle) for angle in cast(Sequence[float], views))
    if not angles or not all(math.isfinite(angle) for angle in angles):
        raise ValueError("views: give at least one angle, in radians, all finite")
    return angles

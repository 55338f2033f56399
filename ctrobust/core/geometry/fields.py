"""What the geometries share: their fields checked, their detector, the share of the circle that a view stands for."""

import math
import operator
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, SupportsIndex, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

ImageSize = SupportsIndex | tuple[SupportsIndex, SupportsIndex]
Views = SupportsIndex | Sequence[float] | NDArray[np.float64]
Array = NDArray[np.float64]
Scan = TypeVar("Scan")


def freeze(geometry: Any, **values: Any) -> None:
    """Set the fields of a frozen value that has its own way to be made."""
    for name, value in values.items():
        object.__setattr__(geometry, name, value)


def changed(geometry: Scan, changes: dict[str, Any]) -> Scan:
    """The same kind of scan with some fields changed, checked as a new one is."""
    build: Any = type(geometry)
    names = (field.name for field in fields(build))
    values = {name: getattr(geometry, name) for name in names} | changes
    scan: Scan = build(values.pop("image_shape"), values.pop("angles"), **values)
    return scan


def direction_of(angles: Array) -> Array:
    """(n, 2) unit vectors (cos θ, sin θ)."""
    return np.stack([np.cos(angles), np.sin(angles)], 1)


def bin_centres(bins: int, bin_mm: float, bin_shift: float) -> Array:
    """(bins,) places along the detector, mm."""
    centres: Array = (np.arange(bins, dtype=np.float64) - (bins - 1) / 2 + bin_shift) * bin_mm
    return centres


def bin_places(vectors: Array, bins: int) -> Array:
    """(views, bins, 2) places of the bins."""
    offsets = np.arange(bins) - (bins - 1) / 2
    places: Array = vectors[:, None, 2:4] + offsets[None, :, None] * vectors[:, None, 4:6]
    return places


def angular_shares(angles: tuple[float, ...], period: float) -> Array:
    """(n,) the share of the period that each angle stands for; see `ParallelBeam.view_weights`."""
    turned = np.mod(np.asarray(angles), period)
    order = np.argsort(turned, kind="stable")
    gaps = np.diff(turned[order], append=turned[order[0]] + period)
    usual = float(np.median(gaps))
    if usual > 0:
        gaps[gaps > 3 * usual] = usual
    weights = np.empty(len(gaps))
    weights[order] = (gaps + np.roll(gaps, 1)) / 2
    return weights


def require_positive(**lengths: float) -> None:
    for name, value in lengths.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} {value!r}: give a positive number of millimetres")


def require_finite(**values: float) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise ValueError(f"{name} {value!r}: give a finite number")


def checked_tilt(radians: float) -> float:
    if abs(radians) >= math.pi / 3:
        raise ValueError(
            f"detector_tilt {radians!r}: give radians within ±π/3; beyond, the rays graze the detector"
        )
    return float(radians)


def checked_bins(bins: SupportsIndex) -> int:
    try:
        count = operator.index(bins)
    except TypeError:
        raise ValueError(f"bins {bins!r}: give a whole number of detector bins") from None
    if count < 1:
        raise ValueError(f"bins {bins!r}: give at least one detector bin")
    return count


def image_shape_of(image_size: ImageSize) -> tuple[int, int]:
    """(rows, columns) of one number, for a square, or of a pair. Raises ValueError on what is neither."""
    pair = image_size if isinstance(image_size, tuple) else (image_size, image_size)
    try:
        rows, columns = map(operator.index, pair)
    except (TypeError, ValueError):
        rows = columns = 0
    if min(rows, columns) < 1:
        raise ValueError(f"image_size {image_size!r}: give one positive whole number or (rows, columns)")
    return rows, columns


def checked_angles(views: Views, period: float) -> tuple[float, ...]:
    # Arrays claim to be an index too: what has no dimension is a number.
    if np.ndim(cast(Any, views)) == 0:
        count = operator.index(cast(SupportsIndex, views))
        if count < 1:
            raise ValueError(f"views {count}: give at least one view")
        return tuple((period * np.arange(count) / count).tolist())
    angles = tuple(float(angle) for angle in cast(Sequence[float], views))
    if not angles or not all(math.isfinite(angle) for angle in angles):
        raise ValueError("views: give at least one angle, in radians, all finite")
    return angles

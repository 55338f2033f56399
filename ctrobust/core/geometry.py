"""Scan geometries as frozen values. Millimetres and radians throughout; axes as in ASTRA.

Row 0 is the top of the image, x points right, y up, the origin is the centre of the image. Detector bins lie along
(cos θ, sin θ); `bin_shift` displaces them that way, in bins; `detector_tilt` turns the detector about its own centre.
"""

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, SupportsIndex, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

ImageSize = SupportsIndex | tuple[SupportsIndex, SupportsIndex]
Views = SupportsIndex | Sequence[float] | NDArray[np.float64]
Array = NDArray[np.float64]
Scan = TypeVar("Scan", "ParallelBeam", "FanBeam")


@dataclass(frozen=True, init=False)
class ParallelBeam:
    """Parallel rays: the ray (θ, s) is the line x·cos θ + y·sin θ = s.

    image_shape    (rows, columns)
    angles         θ of every view, radians
    pixel_mm       side of the square pixels
    bins, bin_mm   number and spacing of the detector bins
    bin_shift      by how many bins the detector's centre lies off s = 0
    detector_tilt  radians by which the detector is turned out of its place, square to the rays
    """

    image_shape: tuple[int, int]
    angles: tuple[float, ...]
    pixel_mm: float
    bins: int
    bin_mm: float
    bin_shift: float
    detector_tilt: float

    def __init__(
        self,
        image_size: ImageSize,
        views: Views,
        *,
        pixel_mm: float = 1.0,
        bins: int | None = None,
        bin_mm: float | None = None,
        bin_shift: float = 0.0,
        detector_tilt: float = 0.0,
    ) -> None:
        """`views`: a number (uniform on [0, π)) or the angles in radians; `bins` default: cover the diagonal.

        Raises ValueError on a size, number or angle that no scanner has.
        """
        shape = image_shape_of(image_size)
        bin_mm = pixel_mm if bin_mm is None else bin_mm
        _require_positive(pixel_mm=pixel_mm, bin_mm=bin_mm)
        _require_finite(bin_shift=bin_shift, detector_tilt=detector_tilt)
        if bins is None:
            bins = math.ceil(math.hypot(*shape) * pixel_mm / bin_mm + 2 * abs(bin_shift) - 1e-9)
        _freeze(
            self,
            image_shape=shape,
            angles=_angles(views, np.pi),
            pixel_mm=float(pixel_mm),
            bins=_bins(bins),
            bin_mm=float(bin_mm),
            bin_shift=float(bin_shift),
            detector_tilt=_tilt(detector_tilt),
        )

    @property
    def sinogram_shape(self) -> tuple[int, int]:
        """(views, bins)"""
        return len(self.angles), self.bins

    @cached_property
    def bin_centres_mm(self) -> Array:
        """(bins,) place of each bin along the detector, s where it is not tilted."""
        return _bin_centres(self.bins, self.bin_mm, self.bin_shift)

    @cached_property
    def view_weights(self) -> Array:
        """(views,) share of [0, π) that each view stands for; π/views each when uniform.

        A gap more than three times the median is an unseen wedge, not coarse sampling: no view is made to
        stand for it, so a limited-angle scan weighs its end views like the others.
        """
        return _shares(self.angles, np.pi)

    @cached_property
    def vectors(self) -> Array:
        """(views, 6) direction of the rays, centre of the detector, step from bin to bin: ASTRA's parallel_vec."""
        θ = np.asarray(self.angles)
        along = _turned(θ)
        direction = np.stack([np.sin(θ), -np.cos(θ)], 1)
        step = _turned(θ + self.detector_tilt) * self.bin_mm
        return np.hstack([direction, along * self.bin_mm * self.bin_shift, step])

    def rays(self) -> tuple[Array, Array]:
        """A point on every ray and the ray's direction, (views, bins, 2) mm each."""
        direction, detector = self.vectors[:, :2], _detector(self.vectors, self.bins)
        return detector, np.broadcast_to(direction[:, None], detector.shape)

    def but(self, **changes: Any) -> "ParallelBeam":
        """The same scan with some fields changed, the others as they are."""
        return _but(self, changes)


@dataclass(frozen=True, init=False)
class FanBeam:
    """Rays from a point source to a flat detector, turning together.

    At the view θ the source is at source_to_iso_mm · (sin θ, −cos θ), the detector opposite at iso_to_detector_mm.

    image_shape, angles, pixel_mm, bins, bin_mm, bin_shift, detector_tilt   as in `ParallelBeam`; bin_mm and
    bin_shift are measured on the detector
    source_to_iso_mm, iso_to_detector_mm   distances from the centre of rotation
    """

    image_shape: tuple[int, int]
    angles: tuple[float, ...]
    source_to_iso_mm: float
    iso_to_detector_mm: float
    pixel_mm: float
    bins: int
    bin_mm: float
    bin_shift: float
    detector_tilt: float

    def __init__(
        self,
        image_size: ImageSize,
        views: Views,
        *,
        source_to_iso_mm: float,
        iso_to_detector_mm: float,
        pixel_mm: float = 1.0,
        bins: int | None = None,
        bin_mm: float | None = None,
        bin_shift: float = 0.0,
        detector_tilt: float = 0.0,
    ) -> None:
        """`views`: a number (uniform on [0, 2π)) or the angles in radians; see `short_scan`.

        `bin_mm` default: one pixel at the centre of rotation, magnified; `bins` default: cover the diagonal.
        Raises ValueError on what no scanner has, a source inside the image among it.
        """
        shape = image_shape_of(image_size)
        _require_positive(pixel_mm=pixel_mm, source_to_iso_mm=source_to_iso_mm)
        _require_finite(
            iso_to_detector_mm=iso_to_detector_mm, bin_shift=bin_shift, detector_tilt=detector_tilt
        )
        if iso_to_detector_mm < 0:
            raise ValueError(
                f"iso_to_detector_mm {iso_to_detector_mm!r}: give 0 or more, the detector faces the source"
            )
        radius = math.hypot(*shape) * pixel_mm / 2
        if source_to_iso_mm <= radius:
            raise ValueError(
                f"source_to_iso_mm {source_to_iso_mm!r}: the source would turn inside the image, whose corner is "
                f"{radius:.4g} mm from its centre; give a longer distance, or a smaller pixel_mm"
            )
        magnification = (source_to_iso_mm + iso_to_detector_mm) / source_to_iso_mm
        bin_mm = pixel_mm * magnification if bin_mm is None else bin_mm
        _require_positive(bin_mm=bin_mm)
        if bins is None:
            half = (source_to_iso_mm + iso_to_detector_mm) * math.tan(math.asin(radius / source_to_iso_mm))
            bins = math.ceil(2 * half / bin_mm + 2 * abs(bin_shift) - 1e-9)
        _freeze(
            self,
            image_shape=shape,
            angles=_angles(views, 2 * np.pi),
            source_to_iso_mm=float(source_to_iso_mm),
            iso_to_detector_mm=float(iso_to_detector_mm),
            pixel_mm=float(pixel_mm),
            bins=_bins(bins),
            bin_mm=float(bin_mm),
            bin_shift=float(bin_shift),
            detector_tilt=_tilt(detector_tilt),
        )

    @classmethod
    def short_scan(cls, image_size: ImageSize, views: int, **rest: Any) -> "FanBeam":
        """`views` spread over π plus the fan's angle: the shortest arc that sees every line of the field of view."""
        full = cls(image_size, 1, **rest)
        arc = np.pi + 2 * full.half_fan
        return full.but(angles=tuple(arc * (np.arange(views) + 0.5) / views))

    @property
    def sinogram_shape(self) -> tuple[int, int]:
        """(views, bins)"""
        return len(self.angles), self.bins

    @property
    def magnification(self) -> float:
        """Of the centre of rotation on the detector."""
        return (self.source_to_iso_mm + self.iso_to_detector_mm) / self.source_to_iso_mm

    @cached_property
    def bin_centres_mm(self) -> Array:
        """(bins,) place of each bin along the detector, 0 opposite the source where it is not tilted."""
        return _bin_centres(self.bins, self.bin_mm, self.bin_shift)

    @property
    def half_fan(self) -> float:
        """The largest angle, radians, between a ray that meets the image and the ray through the centre."""
        widest = np.abs(self.bin_centres_mm).max() + self.bin_mm / 2
        seen = math.atan(widest / (self.source_to_iso_mm + self.iso_to_detector_mm))
        radius = math.hypot(*self.image_shape) * self.pixel_mm / 2
        return min(seen, math.asin(radius / self.source_to_iso_mm))

    @cached_property
    def view_weights(self) -> Array:
        """(views,) share of [0, 2π) that each view stands for, unseen wedges left out as in `ParallelBeam`."""
        return _shares(self.angles, 2 * np.pi)

    @cached_property
    def vectors(self) -> Array:
        """(views, 6) source, centre of the detector, step from bin to bin: ASTRA's fanflat_vec."""
        θ = np.asarray(self.angles)
        along, towards = _turned(θ), np.stack([np.sin(θ), -np.cos(θ)], 1)
        centre = along * self.bin_mm * self.bin_shift - towards * self.iso_to_detector_mm
        step = _turned(θ + self.detector_tilt) * self.bin_mm
        return np.hstack([towards * self.source_to_iso_mm, centre, step])

    def rays(self) -> tuple[Array, Array]:
        """A point on every ray and the ray's direction, (views, bins, 2) mm each."""
        detector = _detector(self.vectors, self.bins)
        return detector, detector - self.vectors[:, None, :2]

    def but(self, **changes: Any) -> "FanBeam":
        """The same scan with some fields changed, the others as they are."""
        return _but(self, changes)


Geometry = ParallelBeam | FanBeam


def _freeze(geometry: Any, **values: Any) -> None:
    for name, value in values.items():
        object.__setattr__(geometry, name, value)


def _but(geometry: Scan, changes: dict[str, Any]) -> Scan:
    values = {field.name: getattr(geometry, field.name) for field in fields(geometry)} | changes
    return type(geometry)(values.pop("image_shape"), values.pop("angles"), **values)


def _turned(angles: Array) -> Array:
    return np.stack([np.cos(angles), np.sin(angles)], 1)


def _bin_centres(bins: int, bin_mm: float, bin_shift: float) -> Array:
    centres: Array = (np.arange(bins, dtype=np.float64) - (bins - 1) / 2 + bin_shift) * bin_mm
    return centres


def _detector(vectors: Array, bins: int) -> Array:
    """(views, bins, 2) places of the bins."""
    offsets = np.arange(bins) - (bins - 1) / 2
    places: Array = vectors[:, None, 2:4] + offsets[None, :, None] * vectors[:, None, 4:6]
    return places


def _shares(angles: tuple[float, ...], period: float) -> Array:
    turned = np.mod(np.asarray(angles), period)
    order = np.argsort(turned, kind="stable")
    gaps = np.diff(turned[order], append=turned[order[0]] + period)
    usual = float(np.median(gaps))
    if usual > 0:
        gaps[gaps > 3 * usual] = usual
    weights = np.empty(len(gaps))
    weights[order] = (gaps + np.roll(gaps, 1)) / 2
    return weights


def _require_positive(**lengths: float) -> None:
    for name, value in lengths.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} {value!r}: give a positive number of millimetres")


def _require_finite(**values: float) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise ValueError(f"{name} {value!r}: give a finite number")


def _tilt(radians: float) -> float:
    if abs(radians) >= math.pi / 3:
        raise ValueError(
            f"detector_tilt {radians!r}: give radians within ±π/3; beyond, the rays graze the detector"
        )
    return float(radians)


def _bins(bins: SupportsIndex) -> int:
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


def _angles(views: Views, period: float) -> tuple[float, ...]:
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

"""The fan beam with a flat detector."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ctrobust.core.geometry.fields import (
    Array,
    ImageSize,
    Views,
    angular_shares,
    bin_centres,
    bin_places,
    changed,
    checked_angles,
    checked_bins,
    checked_tilt,
    direction_of,
    freeze,
    image_shape_of,
    require_finite,
    require_positive,
)


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
        require_positive(pixel_mm=pixel_mm, source_to_iso_mm=source_to_iso_mm)
        require_finite(
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
        require_positive(bin_mm=bin_mm)
        if bins is None:
            half = (source_to_iso_mm + iso_to_detector_mm) * math.tan(math.asin(radius / source_to_iso_mm))
            bins = math.ceil(2 * half / bin_mm + 2 * abs(bin_shift) - 1e-9)
        freeze(
            self,
            image_shape=shape,
            angles=checked_angles(views, 2 * np.pi),
            source_to_iso_mm=float(source_to_iso_mm),
            iso_to_detector_mm=float(iso_to_detector_mm),
            pixel_mm=float(pixel_mm),
            bins=checked_bins(bins),
            bin_mm=float(bin_mm),
            bin_shift=float(bin_shift),
            detector_tilt=checked_tilt(detector_tilt),
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
        return bin_centres(self.bins, self.bin_mm, self.bin_shift)

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
        return angular_shares(self.angles, 2 * np.pi)

    @cached_property
    def vectors(self) -> Array:
        """(views, 6) source, centre of the detector, step from bin to bin: ASTRA's fanflat_vec."""
        θ = np.asarray(self.angles)
        along, towards = direction_of(θ), np.stack([np.sin(θ), -np.cos(θ)], 1)
        centre = along * self.bin_mm * self.bin_shift - towards * self.iso_to_detector_mm
        step = direction_of(θ + self.detector_tilt) * self.bin_mm
        return np.hstack([towards * self.source_to_iso_mm, centre, step])

    def rays(self) -> tuple[Array, Array]:
        """A point on every ray and the ray's direction, (views, bins, 2) mm each."""
        detector = bin_places(self.vectors, self.bins)
        return detector, detector - self.vectors[:, None, :2]

    def but(self, **changes: Any) -> "FanBeam":
        """The same scan with some fields changed, the others as they are."""
        return changed(self, changes)

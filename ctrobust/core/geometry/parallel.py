"""The parallel beam."""

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
        require_positive(pixel_mm=pixel_mm, bin_mm=bin_mm)
        require_finite(bin_shift=bin_shift, detector_tilt=detector_tilt)
        if bins is None:
            bins = math.ceil(math.hypot(*shape) * pixel_mm / bin_mm + 2 * abs(bin_shift) - 1e-9)
        freeze(
            self,
            image_shape=shape,
            angles=checked_angles(views, np.pi),
            pixel_mm=float(pixel_mm),
            bins=checked_bins(bins),
            bin_mm=float(bin_mm),
            bin_shift=float(bin_shift),
            detector_tilt=checked_tilt(detector_tilt),
        )

    @property
    def sinogram_shape(self) -> tuple[int, int]:
        """(views, bins)"""
        return len(self.angles), self.bins

    @cached_property
    def bin_centres_mm(self) -> Array:
        """(bins,) place of each bin along the detector, s where it is not tilted."""
        return bin_centres(self.bins, self.bin_mm, self.bin_shift)

    @cached_property
    def view_weights(self) -> Array:
        """(views,) share of [0, π) that each view stands for; π/views each when uniform.

        A gap more than three times the median is an unseen wedge, not coarse sampling: no view is made to
        stand for it, so a limited-angle scan weighs its end views like the others.
        """
        return angular_shares(self.angles, np.pi)

    @cached_property
    def vectors(self) -> Array:
        """(views, 6) direction of the rays, centre of the detector, step from bin to bin: ASTRA's parallel_vec."""
        θ = np.asarray(self.angles)
        along = direction_of(θ)
        direction = np.stack([np.sin(θ), -np.cos(θ)], 1)
        step = direction_of(θ + self.detector_tilt) * self.bin_mm
        return np.hstack([direction, along * self.bin_mm * self.bin_shift, step])

    def rays(self) -> tuple[Array, Array]:
        """A point on every ray and the ray's direction, (views, bins, 2) mm each."""
        direction, detector = self.vectors[:, :2], bin_places(self.vectors, self.bins)
        return detector, np.broadcast_to(direction[:, None], detector.shape)

    def but(self, **changes: Any) -> "ParallelBeam":
        """The same scan with some fields changed, the others as they are."""
        return changed(self, changes)

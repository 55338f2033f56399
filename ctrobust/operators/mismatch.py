"""What the scanner really does, where that is not what it believes: geometry ↦ geometry.

    Ã = Projector(centre_shift(geometry, 0.3))       y = Ã x       x̂ = Projector(geometry).fbp(y)

Every function adds its error to what the geometry has already, so that errors can be chained; an error of 0 (a
factor of 1) changes nothing. Number and spacing of the bins never change, so y keeps its shape. A ValueError names
an error that is not a finite number, or one that no scanner has.
"""

import math
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from ctrobust.core.geometry import FanBeam, ParallelBeam

Scan = TypeVar("Scan", ParallelBeam, FanBeam)


def angle_offset(geometry: Scan, radians: ArrayLike) -> Scan:
    """Every view is `radians` further on than believed; one number, or (views,) for each its own.

    One number for all views turns the object by −radians, if the scan goes all the way round.
    """
    errors = np.asarray(radians, dtype=np.float64)
    views = len(geometry.angles)
    if errors.shape not in ((), (views,)) or not np.isfinite(errors).all():
        raise ValueError(f"radians {radians!r}: give one finite number, or one for each of the {views} views")
    return geometry.but(angles=tuple((np.asarray(geometry.angles) + errors).tolist()))


def angle_jitter(geometry: Scan, sigma_rad: float, seed: int) -> Scan:
    """Every view off by its own draw from Normal(0, sigma_rad), independent of the others.

    The draws of a seed grow in proportion to sigma_rad: a sweep over it follows one line.
    """
    if not 0 <= sigma_rad < math.inf:
        raise ValueError(f"sigma_rad {sigma_rad!r}: give a standard deviation in radians, 0 or more")
    draws = np.random.default_rng(seed).standard_normal(len(geometry.angles))
    return angle_offset(geometry, sigma_rad * draws)


def centre_shift(geometry: Scan, mm: float) -> Scan:
    """The detector stands `mm`, measured at the centre of rotation, further towards its higher bins than believed.

    bin_shift + mm·M/bin_mm, M the magnification (1 for parallel rays). The fan's source stays where it is: to first
    order in mm/source_to_iso_mm that is a centre of rotation off by −mm.
    """
    _require_finite("mm", mm)
    magnification = geometry.magnification if isinstance(geometry, FanBeam) else 1.0
    return geometry.but(bin_shift=geometry.bin_shift + mm * magnification / geometry.bin_mm)


def detector_tilt(geometry: Scan, radians: float) -> Scan:
    """The detector is turned in the plane of the scan, about its own centre, by `radians` more than believed.

    Parallel rays then meet bins cos(radians) as far apart; in a fan the two halves differ.
    """
    _require_finite("radians", radians)
    return geometry.but(detector_tilt=geometry.detector_tilt + radians)


def wrong_pixel_size(geometry: Scan, factor: float) -> Scan:
    """The pixels, and so the object, are `factor` times as large as believed; the detector is as it was."""
    if not 0 < factor < math.inf:
        raise ValueError(f"factor {factor!r}: give a finite number above 0, 1 for no error")
    return geometry.but(pixel_mm=geometry.pixel_mm * factor)


def _require_finite(name: str, value: float) -> None:
    if not math.isfinite(value):
        raise ValueError(f"{name} {value!r}: give a finite number, 0 for no error")

"""Try a way to compute A on a small scan: does it run, is Aᵀ its transpose, are lengths and heights right."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ctrobust.core.geometry import FanBeam, Geometry, ParallelBeam
from ctrobust.operators.projector import Projector

Array = NDArray[np.float64]

SCANS: dict[str, Geometry] = {
    "parallel": ParallelBeam(64, 90, pixel_mm=0.7),
    "fan": FanBeam(64, 120, source_to_iso_mm=90, iso_to_detector_mm=45, pixel_mm=0.7),
}
"""One of each kind. Pixels are not 1 mm wide: a forgotten unit shows."""

LARGEST_GAP = 1e-6
LARGEST_ERROR = 0.01
"""On these scans a sound back-end is off by less than 0.5 %: the disc's edge in pixels."""

CENTRE, RADIUS = (0.1, 0.15), 0.25
"""Of the disc, in sides of the image; off the centre, so that a mirrored image shows."""


@dataclass(frozen=True)
class Examination:
    """What came of it.

    backend          the one that computed: for `auto`, the one it chose
    matched          whether it claims that A.T is the exact transpose
    adjoint_gap      see `adjoint_gap`; NaN where it did not get so far, as the next
    amplitude_error  see `amplitude_error`
    trouble          what it stopped at, None where it ran to the end
    """

    backend: str
    matched: bool = False
    adjoint_gap: float = math.nan
    amplitude_error: float = math.nan
    trouble: Exception | None = None

    @property
    def exact(self) -> bool:
        """Whether A.T was found to be the transpose."""
        return self.adjoint_gap < LARGEST_GAP

    @property
    def works(self) -> bool:
        """Whether it ran, with the right amplitude, and its transpose is exact where it claims so."""
        return self.amplitude_error < LARGEST_ERROR and (self.exact or not self.matched)


def examine(name: str, geometry: Geometry, device: torch.device) -> Examination:
    """Whatever the back-end of that name raises, from its import on, is the result's `trouble`."""
    backend, matched = name, False
    try:
        A = Projector(geometry, name, device)
        backend, matched = A.backend, A.matched
        return Examination(backend, matched, adjoint_gap(A), amplitude_error(A))
    except Exception as trouble:
        return Examination(backend, matched, trouble=trouble)


def adjoint_gap(A: Projector) -> float:
    """|⟨A x, y⟩ − ⟨x, Aᵀ y⟩| / (‖A x‖·‖y‖) for random x and y in float32, summed in float64."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 1, *A.image_shape, generator=generator)
    y = torch.randn(1, 1, *A.sinogram_shape, generator=generator)
    forward, back = A(x.to(A.device)).cpu().double(), A.T(y.to(A.device)).cpu().double()
    gap = (forward * y).sum() - (x * back).sum()
    return float(gap.abs() / (forward.norm() * y.double().norm()))


def amplitude_error(A: Projector) -> float:
    """The larger relative error of a disc's line integrals, 2·√(r² − s²), and of the height of its FBP, 1.

    Both are taken over the inner half of the disc, away from its edge in pixels.
    """
    geometry = A.geometry
    radius_mm = RADIUS * min(geometry.image_shape) * geometry.pixel_mm
    distance_mm = _distances_mm(geometry)
    inner = distance_mm < radius_mm / 2
    exact = 2 * np.sqrt(radius_mm**2 - distance_mm[inner] ** 2)
    x = torch.from_numpy(_disc(geometry, radius_mm)).to(A.device, torch.float32)[None, None]
    y = A(x)
    lines = y[0, 0].cpu().double().numpy()[inner]
    heights = A.fbp(y)[0, 0].cpu().double().numpy()[_disc(geometry, radius_mm / 2) == 1]
    error = np.linalg.norm(lines - exact) / np.linalg.norm(exact), abs(heights.mean() - 1)
    # Unlike the builtin, np.max keeps a NaN.
    return float(np.max(error))


def _distances_mm(geometry: Geometry) -> Array:
    """(views, bins) from each ray to the disc's centre."""
    points, directions = geometry.rays()
    directions = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    aside = points - _centre_mm(geometry)
    distances: Array = np.abs(aside[..., 0] * directions[..., 1] - aside[..., 1] * directions[..., 0])
    return distances


def _disc(geometry: Geometry, radius_mm: float, samples: int = 8) -> Array:
    """(rows, columns) share of each pixel inside the disc."""
    rows, columns = geometry.image_shape
    x, y = (((np.arange(n * samples) + 0.5) / samples - n / 2) * geometry.pixel_mm for n in (columns, rows))
    right, up = _centre_mm(geometry)
    inside = (x - right) ** 2 + (-y[:, None] - up) ** 2 < radius_mm**2
    share: Array = inside.reshape(rows, samples, columns, samples).mean((1, 3))
    return share


def _centre_mm(geometry: Geometry) -> Array:
    """(x, y)"""
    centre: Array = np.array(CENTRE) * min(geometry.image_shape) * geometry.pixel_mm
    return centre

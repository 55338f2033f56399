"""How the slices of a series stand: their spacing, gaps between them, and whether the gantry was tilted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctrobust.ingest.header import SliceHeader

SAME_PLACE_MM = 1e-3
"""Positions closer than this are one: header text is rounded, no scanner moves so little."""
GAP = 1.5
"""A step of more than this many spacings leaves room for a slice."""
UNEVEN = 0.05
"""Relative deviation of a step that makes a spacing variable."""
MOST_GAPS = 0.25
"""Share of steps; with more gaps than this the spacing changes rather than that slices are missing."""
UPRIGHT_DEG = 0.5
"""A tilt below this is none."""


@dataclass(frozen=True)
class SeriesGeometry:
    """What was found out about a stack of slices.

    spacing_mm  median step along the normal; None for a single position
    gaps        (from, to) in mm along the normal, wherever a step is more than 1.5 spacings
    variable    steps differ by more than 5 %, gaps by whole numbers of slices apart
    tilt_deg    between the normal of the slices and the way from slice to slice, or GantryDetectorTilt where
                that is more; 0 below half a degree
    """

    spacing_mm: float | None
    gaps: tuple[tuple[float, float], ...]
    variable: bool
    tilt_deg: float

    def __str__(self) -> str:
        """What a reader should know, such as "2 gaps, tilted 18.5 degrees"; "" for an even, upright stack."""
        gaps = f"{len(self.gaps)} gap{'s' if len(self.gaps) > 1 else ''}" if self.gaps else ""
        tilt = f"tilted {self.tilt_deg:.1f} degrees" if self.tilt_deg else ""
        return ", ".join(filter(None, (gaps, "variable spacing" if self.variable else "", tilt)))


def geometry_of(slices: Sequence[SliceHeader]) -> SeriesGeometry:
    """The geometry of the slices of one series, given in any order."""
    in_order = sorted(slices, key=lambda header: header.position_mm)
    positions = np.array([header.position_mm for header in in_order])
    positions = positions[np.unique(levels(positions, SAME_PLACE_MM), return_index=True)[1]]
    steps = np.diff(positions)
    tilt_deg = _tilt_deg(in_order)
    if not len(steps):
        return SeriesGeometry(None, (), False, tilt_deg)
    spacing_mm = float(np.median(steps))
    is_gap = steps > GAP * spacing_mm
    gaps = tuple((float(positions[i]), float(positions[i + 1])) for i in np.flatnonzero(is_gap))
    return SeriesGeometry(spacing_mm, gaps, is_uneven(steps), tilt_deg)


def is_uneven(steps: NDArray[np.float64]) -> bool:
    """Whether steps differ by more than missing slices explain."""
    spacing_mm = np.median(steps)
    is_gap = steps > GAP * spacing_mm
    slices_on = np.where(is_gap, np.round(steps / spacing_mm), 1)
    off = np.abs(steps / slices_on - spacing_mm) > UNEVEN * spacing_mm
    return bool(off.any() or is_gap.mean() > MOST_GAPS)


def levels(values: NDArray[np.float64], tolerance: float) -> NDArray[np.intp]:
    """(n,) or (n, k) values into whole numbers, 0 for the lowest, the same where neighbours in order differ by
    no more than the tolerance; unlike rounding it has no edges that noise could straddle.
    """
    order = np.argsort(values, axis=0, kind="stable")
    rises = np.diff(np.take_along_axis(values, order, 0), axis=0, prepend=values[:1] * np.nan) > tolerance
    found = np.empty(values.shape, dtype=np.intp)
    np.put_along_axis(found, order, np.cumsum(rises, axis=0), 0)
    return found


def _tilt_deg(in_order: Sequence[SliceHeader]) -> float:
    first, last = in_order[0], in_order[-1]
    way = np.subtract(last.corner_mm, first.corner_mm)
    along = last.position_mm - first.position_mm
    drift = np.sqrt(max(float(way @ way) - along**2, 0.0))
    measured = np.degrees(np.arctan2(drift, along)) if along > SAME_PLACE_MM else 0.0
    tilt_deg = max(float(measured), abs(first.tilt_deg))
    return tilt_deg if tilt_deg >= UPRIGHT_DEG else 0.0

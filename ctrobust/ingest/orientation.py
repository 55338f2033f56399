"""How a slice lies: its two directions out of a header, and the one across them."""

import math

from ctrobust.ingest.elements import Elements, numbers
from ctrobust.ingest.refusal import RefusalError

Vector = tuple[float, ...]

MOST_TILT = math.radians(45)
"""A normal further than this from the body's axis is a coronal, sagittal or oblique view, not a scanned slice."""
ROUNDED = 0.01
"""By how much a length in a header may be off 1."""


def directions(frame: Elements) -> tuple[Vector, Vector]:
    """Directions along a row and along a column, made exactly perpendicular and of length 1.

    Raises RefusalError where they are no such thing, or where the slice is not axial.
    """
    six = numbers(frame, "ImageOrientationPatient", 6)
    along_row, along_column = six[:3], six[3:]
    normal = across(along_row, along_column)
    lengths = [math.hypot(*vector) for vector in (along_row, along_column, normal)]
    if any(abs(length - 1) > ROUNDED for length in lengths):
        raise RefusalError("ImageOrientationPatient is not two perpendicular directions")
    if abs(normal[2]) < math.cos(MOST_TILT) * lengths[2]:
        raise RefusalError("not an axial slice")
    along_row = tuple(part / lengths[0] for part in along_row)
    return along_row, across(tuple(part / lengths[2] for part in normal), along_row)


def across(a: Vector, b: Vector) -> Vector:
    """a × b."""
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])

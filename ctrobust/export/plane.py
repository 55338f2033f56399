"""Where the pixels of a slice lie in the patient, before and after it is brought to another grid."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Plane:
    """A slice in the patient's axes, in mm (x to the left, y to the back, z to the head).

        P(row, column) = corner + column·Δ_column·r + row·Δ_row·c

    size         (rows, columns)
    pixel_mm     (Δ_row, Δ_column): spacing of the rows and of the columns, as in PixelSpacing
    corner_mm    P(0, 0): the centre of the first pixel, as in ImagePositionPatient
    orientation  unit vectors r along a row and c along a column, six numbers as in ImageOrientationPatient
    Source: DICOM PS3.3 C.7.6.2.1.1.
    """

    size: tuple[int, int]
    pixel_mm: tuple[float, float]
    corner_mm: tuple[float, ...]
    orientation: tuple[float, ...]

    def point_mm(self, row: float, column: float) -> NDArray[np.float64]:
        """(3,) the place of a point of the image; whole numbers are centres of pixels."""
        along_row, along_column = np.reshape(self.orientation, (2, 3)).astype(np.float64)
        row_mm, column_mm = self.pixel_mm
        return np.asarray(self.corner_mm) + column * column_mm * along_row + row * row_mm * along_column

    def regridded(self, size: tuple[int, int], pixel_mm: tuple[float, float]) -> "Plane":
        """The plane of the image that `core.grid.regrid` makes: about the same centre."""
        centre = self.point_mm(*((length - 1) / 2 for length in self.size))
        about_zero = Plane(size, pixel_mm, (0.0, 0.0, 0.0), self.orientation)
        corner = centre - about_zero.point_mm(*((length - 1) / 2 for length in size))
        return Plane(size, pixel_mm, tuple(float(part) for part in corner), self.orientation)

    def reaches_beyond(self, other: "Plane") -> bool:
        """Whether it is longer than `other` on some side, by more than rounding."""
        own, others = (np.multiply(plane.size, plane.pixel_mm) for plane in (self, other))
        return bool((own > others * (1 + 1e-6)).any())

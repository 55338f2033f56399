"""Four fictional scanners that disagree as real ones do about how a CT image is stored."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Scanner:
    """How one scanner exposes, reconstructs and stores. HU = stored · slope + intercept.

    padding    stored value outside the scanner's circle (PixelPaddingValue), None where it has no circle
    head_first whether instance 1 is the slice nearest the head
    """

    manufacturer: str
    model: str
    kernel: str
    kvp: int
    signed: bool
    bits_stored: int
    intercept: int
    padding: int | None
    head_first: bool

    def store(self, image_hu: NDArray[np.float32]) -> NDArray[np.integer[Any]]:
        """(size, size) HU → the integers the scanner writes, padding outside its circle; the slope is 1."""
        stored = np.rint(image_hu.astype(np.float64) - self.intercept)
        if self.padding is not None:
            stored[outside_circle(len(image_hu))] = self.padding
        return stored.astype("<i2" if self.signed else "<u2")


def outside_circle(size: int) -> NDArray[np.bool_]:
    """(size, size): the pixels whose centre lies outside the circle that touches the image's sides."""
    line = np.arange(size) - (size - 1) / 2
    radius: NDArray[np.float64] = np.hypot(line[:, None], line[None, :])
    return radius > size / 2


SCANNERS = (
    Scanner("Fictive Imaging", "Whorl 64", "STANDARD", 120, False, 12, -1024, None, True),
    Scanner("Fictive Imaging", "Whorl 16", "LUNG", 140, True, 16, -1024, -2000, False),
    Scanner("Imaginary Medical", "Torus S", "B31f", 100, True, 16, 0, None, True),
    Scanner("Imaginary Medical", "Torus X", "B", 120, True, 16, 0, -2000, False),
)

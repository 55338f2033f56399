"""From the grey levels of a picture to HU, as the user says and never by a guess."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctrobust.core.errors import UserError
from ctrobust.ingest.refusal import RefusalError


@dataclass(frozen=True)
class Scale:
    """HU = slope·stored + intercept; or, with a window, 0 is its lower end and the largest level its upper end.

    The largest level is that of the file's type: 255 of 8 bits, 65535 of 16. Give a window, or slope and intercept.
    """

    window: tuple[float, float] | None = None
    slope: float | None = None
    intercept: float | None = None

    def __post_init__(self) -> None:
        pair = (self.slope, self.intercept)
        if (self.window is None) == (None in pair) or (self.window and pair != (None, None)):
            raise UserError(
                "give either --window LOW HIGH, in HU, or both --slope S and --intercept I: a picture says neither"
            )
        if not all(math.isfinite(value) for value in (*(self.window or ()), *pair) if value is not None):
            raise UserError("--window, --slope, --intercept: give finite numbers")
        if self.window and self.window[0] >= self.window[1]:
            raise UserError(f"--window {self.window[0]:g} {self.window[1]:g}: give the lower end first")
        if self.slope == 0:
            raise UserError("--slope 0: every pixel would be the same; give another")

    def hu(self, stored: NDArray[Any]) -> NDArray[np.float64]:
        """The stored levels in HU, any shape. Raises RefusalError on levels that a window cannot scale."""
        if self.window is None:
            return np.asarray(stored.astype(np.float64) * (self.slope or 0.0) + (self.intercept or 0.0))
        if stored.dtype not in (np.uint8, np.uint16):
            raise RefusalError(
                "a window needs 8 or 16 bits without sign; give --slope and --intercept", str(stored.dtype)
            )
        low, high = self.window
        return np.asarray(low + stored.astype(np.float64) * (high - low) / np.iinfo(stored.dtype).max)


def require_pixel_mm(pixel_mm: float) -> None:
    """Raise UserError on a pixel size that no scanner has."""
    if not (math.isfinite(pixel_mm) and 0.01 <= pixel_mm <= 10):
        raise UserError(f"--pixel-mm {pixel_mm:g}: give the side of a pixel in mm, such as 0.7")

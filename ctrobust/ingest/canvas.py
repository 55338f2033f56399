"""The one shape all stored images share, and how a slice is brought to it, its field of view kept."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctrobust.core.errors import UserError
from ctrobust.core.grid import regrid
from ctrobust.core.units import PADDING_HU
from ctrobust.ingest.header import SliceHeader
from ctrobust.ingest.layout import MOST_SIDE
from ctrobust.ingest.refusal import RefusalError

MOST_FIELD_MM = 1000.0
"""Beyond any scanner's field of view: a slice that claims more must not set the canvas of the others."""
LEAST_SIDE = 16


@dataclass(frozen=True)
class Canvas:
    """(size, size) square pixels of `pixel_mm`; None: as fits the larger side of each slice's field of view."""

    size: int
    pixel_mm: float | None

    def fit(
        self, image_hu: NDArray[np.float32], pixel_mm: tuple[float, float]
    ) -> tuple[NDArray[np.float32], tuple[float, float]]:
        """The image on the canvas, centred, and its pixels' size: exact area averages, −1024 beyond its edge."""
        own_mm = self.pixel_mm or _field_mm(image_hu.shape, pixel_mm) / self.size
        square = (own_mm, own_mm)
        return regrid(image_hu, pixel_mm, (self.size, self.size), square, outside=PADDING_HU), square


def canvas_for(headers: Iterable[SliceHeader], size: int | None, pixel_mm: float | None) -> Canvas | None:
    """None where nothing is resampled. With `pixel_mm` alone the canvas holds the largest field of view whole;
    with `size` too it is that large, and what is beyond is cropped. Raises UserError where that makes no image.
    """
    if pixel_mm is None:
        return None if size is None else Canvas(size, None)
    check_pixel_mm(pixel_mm)
    if size is None:
        fields = (_field_mm(header.size, header.pixel_mm) for header in headers)
        widest_mm = max((field for field in fields if field <= MOST_FIELD_MM), default=pixel_mm * LEAST_SIDE)
        # A field of 512 pixels of 0.7 mm is 512 pixels of 0.7 mm, whatever the last digit of the product.
        size = math.ceil(widest_mm / pixel_mm - 1e-6)
        if not LEAST_SIDE <= size <= MOST_SIDE:
            raise UserError(
                f"--pixel-mm {pixel_mm:g}: a field of view of {widest_mm:.0f} mm makes {size} pixels a side; "
                f"from {LEAST_SIDE} to {MOST_SIDE} are possible"
            )
    return Canvas(size, pixel_mm)


def check_pixel_mm(pixel_mm: float) -> None:
    """Raise UserError where that is no length."""
    if not (math.isfinite(pixel_mm) and pixel_mm > 0):
        raise UserError(f"--pixel-mm {pixel_mm:g}: give the size of a pixel in mm, such as 0.7")


def check_size(header: SliceHeader, canvas: Canvas | None, common: tuple[int, int] | None) -> None:
    """Raise RefusalError where a slice does not fit among the others."""
    if canvas is None:
        if header.size != common:
            own, most = ("x".join(map(str, size)) for size in (header.size, common or ()))
            raise RefusalError(
                f"{own} pixels while most slices have {most}: give --size N to resample all to one size"
            )
    elif canvas.pixel_mm and _field_mm(header.size, header.pixel_mm) > MOST_FIELD_MM:
        raise RefusalError(f"its field of view is beyond {MOST_FIELD_MM:.0f} mm, more than any scanner's")


def _field_mm(size: tuple[int, ...], pixel_mm: tuple[float, float]) -> float:
    return max(length * spacing for length, spacing in zip(size, pixel_mm, strict=True))

"""Stored pixel values into Hounsfield units, padding first."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctrobust.core.units import PADDING_HU
from ctrobust.ingest.elements import Elements, numbers, text, whole
from ctrobust.ingest.layout import Layout
from ctrobust.ingest.pixels import Stored, stored_pixels, used_bits
from ctrobust.ingest.refusal import RefusalError, refusing

ROWS = 64
"""Rescaled at a time: what stays in the cache costs a fraction of new memory for a whole slice in float64."""


@dataclass(frozen=True)
class Rescale:
    """HU = slope·stored + intercept, but for stored values from padding[0] to padding[1], both included."""

    slope: float
    intercept: float
    padding: tuple[int, int] | None


def read_rescale(elements: Elements, layout: Layout) -> Rescale:
    """The rescale of a file, or of one of its frames; raises RefusalError where it does not lead to HU."""
    (slope,), (intercept,) = (numbers(elements, name, 1) for name in ("RescaleSlope", "RescaleIntercept"))
    if slope == 0:
        raise RefusalError("RescaleSlope is zero")
    if text(elements, "RescaleType") not in ("", "HU"):
        raise RefusalError("RescaleType is not HU", text(elements, "RescaleType"))
    return Rescale(slope, intercept, _padding(elements, layout))


def hounsfield(frame: bytes, layout: Layout, rescale: Rescale) -> NDArray[np.float32]:
    """(rows, columns) HU = slope·stored + intercept as in float64, rounded once to float32.

    frame: as `read_frame` read it. Padding, and whatever is below −1024, reads −1024: scanners write −2000 and the
    like outside the circle. Raises RefusalError where the pixels cannot be decoded. Source: DICOM PS3.3 C.11.1,
    C.7.5.1.1.2.
    """
    every_bit = stored_pixels(frame, layout)
    with refusing("the pixels cannot be rescaled"), np.errstate(over="ignore"):
        image_hu = np.empty(every_bit.shape, np.float32)
        room = np.empty((ROWS, layout.columns), _arithmetic(layout, rescale))
        for start in range(0, layout.rows, ROWS):
            some = slice(start, start + ROWS)
            _rescaled(every_bit[some], layout, rescale, room, image_hu[some])
        if not image_hu.max() <= np.finfo(np.float32).max:
            raise RefusalError("the rescaled values are beyond any HU")
        return image_hu


def _arithmetic(layout: Layout, rescale: Rescale) -> type[np.floating]:
    """float64, or float32 at twice its pace where whole numbers make nothing but whole numbers that it holds too."""
    largest = abs(rescale.slope) * 2**layout.bits_allocated + abs(rescale.intercept)
    whole_numbers = rescale.slope.is_integer() and rescale.intercept.is_integer()
    return np.float32 if whole_numbers and largest <= 2**24 else np.float64


def _rescaled(
    every_bit: Stored,
    layout: Layout,
    rescale: Rescale,
    room: NDArray[np.floating],
    image_hu: NDArray[np.float32],
) -> None:
    stored = used_bits(every_bit, layout)
    hu = np.multiply(stored, rescale.slope, out=room[: len(stored)], dtype=room.dtype)
    hu += rescale.intercept
    if rescale.padding is not None:
        # Scanners put padding into the bits above BitsStored too.
        for values in (stored,) if stored is every_bit else (stored, every_bit):
            np.copyto(hu, PADDING_HU, where=_within(values, *rescale.padding))
    np.maximum(hu, PADDING_HU, out=image_hu, casting="same_kind")


def _padding(elements: Elements, layout: Layout) -> tuple[int, int] | None:
    """From PixelPaddingValue to PixelPaddingRangeLimit, whichever is larger; None where there is none."""
    keywords = ("PixelPaddingValue", "PixelPaddingRangeLimit")
    if elements.get(keywords[0]) is None:
        return None
    ends = [whole(elements, keyword) for keyword in keywords if elements.get(keyword) is not None]
    stored = [_as_stored(end, layout) for end in ends]
    return min(stored), max(stored)


def _within(stored: Stored, low: int, high: int) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = stored == low if low == high else (stored >= low) & (stored <= high)
    return mask


def _as_stored(value: int, layout: Layout) -> int:
    """The same bits read with the pixels' sign: headers hold −2000 as 63536 where the element says unsigned."""
    span = 1 << layout.bits_allocated
    value %= span
    return value - span if layout.signed and value >= span // 2 else value

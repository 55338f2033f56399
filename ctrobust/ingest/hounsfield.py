"""Stored pixel values into Hounsfield units, padding first."""

import numpy as np
from numpy.typing import NDArray

from ctrobust.core.units import PADDING_HU
from ctrobust.ingest.elements import Elements, numbers, whole
from ctrobust.ingest.layout import Layout
from ctrobust.ingest.opening import DicomFile
from ctrobust.ingest.pixels import Stored, keeps_all_bits, stored_pixels
from ctrobust.ingest.refusal import RefusalError, refusing


def hounsfield(
    file: DicomFile, layout: Layout, elements: Elements | None = None, frame: int = 0
) -> NDArray[np.float32]:
    """(rows, columns) HU = slope·stored + intercept in float64, rounded once to float32.

    elements: the frame's own values where the file has several. Padding, and whatever is below −1024, reads
    −1024: scanners write −2000 and the like outside the circle. Raises RefusalError where the pixels cannot
    be decoded. Source: DICOM PS3.3 C.11.1, C.7.5.1.1.2.
    """
    elements = elements or file.dataset
    stored = stored_pixels(file, layout, frame)
    with refusing("the pixels cannot be rescaled"):
        padding = _padding(elements, layout, stored)
        if padding is not None and keeps_all_bits(file, layout):
            every_bit = _padding(elements, layout, stored_pixels(file, layout, frame, all_bits=True))
            padding = padding if every_bit is None else padding | every_bit
        (slope,), (intercept,) = (
            numbers(elements, keyword, 1) for keyword in ("RescaleSlope", "RescaleIntercept")
        )
        # In place: at this size every new array costs as much as the arithmetic.
        hu = stored.astype(np.float64)
        hu *= slope
        hu += intercept
        if padding is not None:
            np.copyto(hu, PADDING_HU, where=padding)
        np.maximum(hu, PADDING_HU, out=hu)
        if not hu.max() <= np.finfo(np.float32).max:
            raise RefusalError("the rescaled values are beyond any HU")
        return hu.astype(np.float32)


def _padding(elements: Elements, layout: Layout, stored: Stored) -> NDArray[np.bool_] | None:
    """Where stored values lie between PixelPaddingValue and PixelPaddingRangeLimit, both included."""
    keywords = ("PixelPaddingValue", "PixelPaddingRangeLimit")
    if elements.get(keywords[0]) is None:
        return None
    ends = [whole(elements, keyword) for keyword in keywords if elements.get(keyword) is not None]
    low, high = (pick(_as_stored(end, layout) for end in ends) for pick in (min, max))
    mask: NDArray[np.bool_] = stored == low if low == high else (stored >= low) & (stored <= high)
    return mask


def _as_stored(value: int, layout: Layout) -> int:
    """The same bits read with the pixels' sign: headers hold −2000 as 63536 where the element says unsigned."""
    span = 1 << layout.bits_allocated
    value %= span
    return value - span if layout.signed and value >= span // 2 else value

"""Stored pixel values into Hounsfield units, padding first."""

import numpy as np
from numpy.typing import NDArray
from pydicom import FileDataset
from pydicom.pixels.utils import pixel_array

from ctrobust.core.units import PADDING_HU
from ctrobust.ingest.refusal import RefusalError, refusing

Stored = NDArray[np.integer]


def hounsfield(dataset: FileDataset) -> NDArray[np.float32]:
    """(rows, columns) HU = slope·stored + intercept in float64, rounded once to float32.

    Padding, and whatever is below −1024, reads −1024: scanners write −2000 and the like outside the circle.
    Raises RefusalError where the pixels are missing or cannot be decoded. Source: DICOM PS3.3 C.11.1, C.7.5.1.1.2.
    """
    with refusing("the pixels cannot be decoded"):
        if "PixelData" not in dataset:
            raise RefusalError("no pixels")
        stored = pixel_array(dataset)
        if stored.shape != (dataset.Rows, dataset.Columns) or stored.dtype.kind not in "iu":
            raise RefusalError("the pixels are not one greyscale slice of whole numbers")
        padding = _padding(dataset, stored)
        hu = stored.astype(np.float64) * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        hu[padding] = PADDING_HU
        slice_hu = np.maximum(hu, PADDING_HU).astype(np.float32)
        if not np.isfinite(slice_hu).all():
            raise RefusalError("the rescaled values are beyond any HU")
        return slice_hu


def _padding(dataset: FileDataset, stored: Stored) -> NDArray[np.bool_]:
    """Where stored values lie between PixelPaddingValue and PixelPaddingRangeLimit, both included."""
    if dataset.get("PixelPaddingValue") is None:
        return np.zeros(stored.shape, dtype=bool)
    ends = [int(dataset.PixelPaddingValue)]
    if dataset.get("PixelPaddingRangeLimit") is not None:
        ends.append(int(dataset.PixelPaddingRangeLimit))
    low, *_, high = sorted(_as_stored(end, dataset) for end in ends + ends[:1])
    mask: NDArray[np.bool_] = (stored >= low) & (stored <= high)
    if dataset.BitsStored < dataset.BitsAllocated:
        # Padding may use the bits above BitsStored, which decoding clears.
        whole = pixel_array(dataset, correct_unused_bits=False)
        mask |= (whole >= low) & (whole <= high)
    return mask


def _as_stored(value: int, dataset: FileDataset) -> int:
    """The same bits read with the pixels' sign: headers hold −2000 as 63536 where the element says unsigned."""
    span = 1 << int(dataset.BitsAllocated)
    value %= span
    return value - span if dataset.PixelRepresentation == 1 and value >= span // 2 else value

"""The second pass: one slice at a time, its pixels in HU, its names replaced."""

from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from ctrobust.core.grid import regrid
from ctrobust.core.records import SliceRecord
from ctrobust.core.units import PADDING_HU
from ctrobust.ingest.header import SliceHeader
from ctrobust.ingest.hounsfield import hounsfield
from ctrobust.ingest.opening import open_dicom
from ctrobust.ingest.pseudonyms import Pseudonyms
from ctrobust.ingest.refusal import RefusalError, Refused, refusing
from ctrobust.ingest.series import Scan


def read_slices(
    scan: Scan, pseudonyms: Pseudonyms, *, size: int | None = None
) -> Iterator[SliceRecord | Refused]:
    """Every slice of the scan in its order, taken or refused; holds one slice at a time.

    size: resample to (size, size) with square pixels over the larger side's field of view. Without it,
    slices of another than the most common size are refused.
    """
    taken: set[str] = set()
    for header in scan.slices:
        try:
            # Only a slice that was taken makes the next a duplicate: a copy may be the one that can be decoded.
            if header.instance in taken:
                raise RefusalError("duplicate of a slice already taken")
            if size is None:
                _check_size(header, scan.common_size)
            record = _record(header, pseudonyms, size)
        except RefusalError as refusal:
            yield Refused(header.path, header.sha256, refusal.reason, refusal.detail)
        else:
            taken.add(header.instance)
            yield record


def _check_size(header: SliceHeader, common: tuple[int, int] | None) -> None:
    if header.size != common:
        own, most = ("x".join(map(str, size)) for size in (header.size, common or ()))
        raise RefusalError(
            f"{own} pixels while most slices have {most}: give --size N to resample all to one size"
        )


def _record(header: SliceHeader, pseudonyms: Pseudonyms, size: int | None) -> SliceRecord:
    with refusing("damaged DICOM"):
        content = header.path.read_bytes()
    if sha256(content).hexdigest() != header.sha256:
        raise RefusalError("changed while it was being read")
    image_hu, pixel_mm = hounsfield(open_dicom(BytesIO(content), pixels=True)), header.pixel_mm
    if size is not None:
        image_hu, pixel_mm = _resized(image_hu, pixel_mm, size)
    return SliceRecord(
        image_hu=image_hu,
        patient=pseudonyms.patient(header.patient),
        series=pseudonyms.series(header.series),
        position_mm=header.position_mm,
        pixel_mm=pixel_mm,
        source_sha256=header.sha256,
    )


def _resized(
    image_hu: NDArray[np.float32], pixel_mm: tuple[float, float], size: int
) -> tuple[NDArray[np.float32], tuple[float, float]]:
    field_mm = max(length * spacing for length, spacing in zip(image_hu.shape, pixel_mm, strict=True))
    square = (field_mm / size, field_mm / size)
    return regrid(image_hu, pixel_mm, (size, size), square, outside=PADDING_HU), square

"""The second pass: one slice at a time, its pixels in HU, its names replaced."""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from io import BytesIO
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ctrobust.core.records import SliceRecord
from ctrobust.ingest.archives import Source, open_source
from ctrobust.ingest.canvas import Canvas, canvas_for, check_size
from ctrobust.ingest.duplicates import Duplicates, picture_of
from ctrobust.ingest.elements import Elements
from ctrobust.ingest.frames import frames_of
from ctrobust.ingest.header import SliceHeader
from ctrobust.ingest.hounsfield import hounsfield
from ctrobust.ingest.layout import Layout, read_layout
from ctrobust.ingest.opening import DicomFile, open_dicom
from ctrobust.ingest.pseudonyms import Pseudonyms
from ctrobust.ingest.refusal import RefusalError, Refused, refusing
from ctrobust.ingest.series import Scan
from ctrobust.ingest.spool import IN_MEMORY, sha256_of_stream


def read_slices(
    scan: Scan, pseudonyms: Pseudonyms, *, size: int | None = None, pixel_mm: float | None = None
) -> Iterator[SliceRecord | Refused]:
    """Every slice of the scan in its order, taken or refused, one outcome for each of `scan.slices`; holds one
    slice at a time, of a file with many frames too.

    size: resample to (size, size) with square pixels over the larger side's field of view. pixel_mm: resample
    to square pixels of that size, on a canvas that holds the largest field of view, −1024 around the smaller
    ones; with `size` too the canvas is that large and crops. Without either, slices of another than the most
    common size are refused. Raises UserError where `pixel_mm` makes no image.
    """
    canvas = canvas_for(scan.slices, size, pixel_mm)
    duplicates = Duplicates()
    placed = (pair for series in scan.series for pair in zip(series.slices, series.places, strict=True))
    with closing(Reader()) as reader:
        for header, place in placed:
            try:
                duplicates.check_header(header, place)
                check_size(header, canvas, scan.common_size)
                image_hu = reader.read(header)
                picture = picture_of(header, image_hu)
                duplicates.check_picture(header, picture)
                record = _record(header, image_hu, pseudonyms, canvas)
            except RefusalError as refusal:
                yield Refused(header.path, header.sha256, refusal.reason, refusal.detail)
            else:
                duplicates.take(header, place, picture)
                yield record


class Reader:
    """Pixels of slices; the file of the last one stays open, since its next frame mostly comes next."""

    def __init__(self) -> None:
        self._source: Source | None = None
        self._file: tuple[DicomFile, Layout, Sequence[Elements]] | None = None

    def read(self, header: SliceHeader) -> NDArray[np.float32]:
        """(rows, columns) HU; raises RefusalError where the file is not what the header was read from."""
        with refusing("damaged DICOM"):
            if self._file is None or self._source != header.source:
                self.close()
                self._source, self._file = header.source, _opened(header)
            file, layout, frames = self._file
            return hounsfield(file, layout, frames[header.frame], header.frame)

    def close(self) -> None:
        """Close the file that is open, if one is."""
        if self._file is not None:
            self._file[0].stream.close()
        self._source = self._file = None


def _opened(header: SliceHeader) -> tuple[DicomFile, Layout, Sequence[Elements]]:
    stream = open_source(header.source)
    try:
        file = open_dicom(_verified(stream, header.sha256))
        layout = read_layout(file)
        return file, layout, frames_of(file.dataset, layout.frames)
    except BaseException:
        stream.close()
        raise


def _verified(stream: BinaryIO, expected: str) -> BinaryIO:
    """The stream if its bytes are the expected; in memory where they are few, so that they cannot change."""
    if stream.seek(0, os.SEEK_END) <= IN_MEMORY:
        stream.seek(0)
        with stream:
            stream = BytesIO(stream.read())
    stream.seek(0)
    if sha256_of_stream(stream) != expected:
        raise RefusalError("changed while it was being read")
    return stream


def _record(
    header: SliceHeader, image_hu: NDArray[np.float32], pseudonyms: Pseudonyms, canvas: Canvas | None
) -> SliceRecord:
    pixel_mm = header.pixel_mm
    if canvas is not None:
        with refusing("it cannot be resampled"):
            image_hu, pixel_mm = canvas.fit(image_hu, pixel_mm)
    return SliceRecord(
        image_hu=image_hu,
        patient=pseudonyms.patient(header.patient),
        series=pseudonyms.series(header.series),
        position_mm=header.position_mm,
        pixel_mm=pixel_mm,
        source_sha256=header.sha256,
    )

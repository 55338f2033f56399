"""The second pass: the pixels of each slice in HU, its names replaced; a bounded number of slices at a time."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ctrobust.core.ahead import ahead
from ctrobust.core.records import SliceRecord
from ctrobust.ingest.archives import Source, Stamp, open_source, stamp_of
from ctrobust.ingest.canvas import Canvas, canvas_for, check_size
from ctrobust.ingest.duplicates import Duplicates, Picture, picture_of
from ctrobust.ingest.header import SliceHeader
from ctrobust.ingest.hounsfield import hounsfield
from ctrobust.ingest.opening import inflated
from ctrobust.ingest.pixels import read_frame
from ctrobust.ingest.pseudonyms import Pseudonyms
from ctrobust.ingest.refusal import RefusalError, Refused, refusing
from ctrobust.ingest.series import Scan
from ctrobust.ingest.spool import sha256_of_stream

CHANGED = "changed while it was being read"


def read_slices(
    scan: Scan,
    pseudonyms: Pseudonyms,
    *,
    size: int | None = None,
    pixel_mm: float | None = None,
    workers: int = 1,
) -> Iterator[SliceRecord | Refused]:
    """Every slice of the scan in its order, taken or refused, one outcome for each of `scan.slices`; holds one
    slice at a time, of a file with many frames too, and two for each worker where there are several.

    size: resample to (size, size) with square pixels over the larger side's field of view. pixel_mm: resample
    to square pixels of that size, on a canvas that holds the largest field of view, −1024 around the smaller
    ones; with `size` too the canvas is that large and crops. Without either, slices of another than the most
    common size are refused. workers: threads that decode; what is yielded does not depend on it. Raises UserError
    where `pixel_mm` makes no image.
    """
    canvas = canvas_for(scan.slices, size, pixel_mm)
    duplicates = Duplicates()
    with closing(Reader()) as reader:
        begun = _begun(scan, reader, duplicates, canvas)
        for header, place, decoded in ahead(partial(_decoded, canvas), begun, workers):
            try:
                if isinstance(decoded, RefusalError):
                    raise decoded
                # Again: slices that were still being decoded when this one was begun count too.
                duplicates.check_header(header, place)
                duplicates.check_picture(header, decoded.picture)
            except RefusalError as refusal:
                yield Refused(header.path, header.sha256, refusal.reason, refusal.detail)
            else:
                duplicates.take(header, place, decoded.picture)
                yield _record(header, decoded, pseudonyms)


class Reader:
    """Frames of files; the file of the last one stays open, since its next frame mostly comes next."""

    def __init__(self) -> None:
        self._source: Source | None = None
        self._streams: tuple[BinaryIO, BinaryIO] | None = None
        self._stamp: Stamp = ()

    def read(self, header: SliceHeader) -> bytes:
        """A slice's frame, not decoded; raises RefusalError where the file is not what the header was read from."""
        with refusing("damaged DICOM"):
            if self._streams is None or self._source != header.source:
                self._open(header)
            assert self._streams is not None
            file, data = self._streams
            frame = read_frame(data, header.layout, header.frame)
            if stamp_of(file) != self._stamp:
                raise RefusalError(CHANGED)
            return frame

    def close(self) -> None:
        """Close the file that is open, if one is."""
        for stream in self._streams or ():
            stream.close()
        self._source = self._streams = None

    def _open(self, header: SliceHeader) -> None:
        self.close()
        file = open_source(header.source)
        try:
            self._stamp = stamp_of(file)
            # The same stamp saves reading it all again.
            same = self._stamp == header.stamp != () or sha256_of_stream(file) == header.sha256
            if not same:
                raise RefusalError(CHANGED)
            body_at = header.layout.body_at
            self._streams = file, file if body_at is None else inflated(file, body_at)
            self._source = header.source
        except BaseException:
            file.close()
            raise


@dataclass(frozen=True)
class Decoded:
    """A slice's pixels: what they are known by, and in HU as they go into the store."""

    picture: Picture
    image_hu: NDArray[np.float32]
    pixel_mm: tuple[float, float]


def _begun(
    scan: Scan, reader: Reader, duplicates: Duplicates, canvas: Canvas | None
) -> Iterator[tuple[SliceHeader, int, bytes | RefusalError]]:
    """Each slice with its place in its series and its frame, read but not decoded, or why it is not taken."""
    for series in scan.series:
        for header, place in zip(series.slices, series.places, strict=True):
            try:
                duplicates.check_header(header, place)
                check_size(header, canvas, scan.common_size)
                yield header, place, reader.read(header)
            except RefusalError as refusal:
                yield header, place, refusal


def _decoded(
    canvas: Canvas | None, begun: tuple[SliceHeader, int, bytes | RefusalError]
) -> tuple[SliceHeader, int, Decoded | RefusalError]:
    """What may be done in a thread of its own: it depends on this slice alone."""
    header, place, frame = begun
    if isinstance(frame, RefusalError):
        return header, place, frame
    try:
        image_hu, pixel_mm = hounsfield(frame, header.layout, header.rescale), header.pixel_mm
        picture = picture_of(header, image_hu)
        if canvas is not None:
            with refusing("it cannot be resampled"):
                image_hu, pixel_mm = canvas.fit(image_hu, pixel_mm)
        return header, place, Decoded(picture, image_hu, pixel_mm)
    except RefusalError as refusal:
        return header, place, refusal


def _record(header: SliceHeader, decoded: Decoded, pseudonyms: Pseudonyms) -> SliceRecord:
    return SliceRecord(
        image_hu=decoded.image_hu,
        patient=pseudonyms.patient(header.patient),
        series=pseudonyms.series(header.series),
        position_mm=header.position_mm,
        pixel_mm=decoded.pixel_mm,
        source_sha256=header.sha256,
    )

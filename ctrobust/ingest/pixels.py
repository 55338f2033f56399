"""One frame's stored values out of a file, whatever their encoding; no other frame is read."""

from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.decoders.base import get_decoder

from ctrobust.ingest.codestream import check_codestream
from ctrobust.ingest.layout import MOST_OVERHEAD, Layout, plugin
from ctrobust.ingest.refusal import RefusalError, refusing

Stored = NDArray[np.integer]


def read_frame(stream: BinaryIO, layout: Layout, frame: int = 0) -> bytes:
    """The bytes of one frame, counted from 0: plain, or encoded and checked. `stream`: the file, inflated.

    Raises RefusalError where they are not what the header promised.
    """
    if not layout.syntax.is_encapsulated:
        stream.seek(layout.pixels_at + frame * layout.frame_bytes)
        return stream.read(layout.frame_bytes)
    stream.seek(layout.pixels_at)
    encoded = get_frame(stream, frame, number_of_frames=layout.frames, extended_offsets=layout.offsets)
    if len(encoded) > 2 * layout.frame_bytes + MOST_OVERHEAD:
        raise RefusalError("more encoded pixels in the file than its Rows and Columns can need")
    if layout.is_jpeg:
        check_codestream(encoded, layout.syntax, (layout.rows, layout.columns))
    return encoded


def stored_pixels(frame: bytes, layout: Layout) -> Stored:
    """(rows, columns) stored values of what `read_frame` read, with all bits that the encoding keeps.

    The array may be read-only. Raises RefusalError where the frame cannot be decoded.
    """
    with refusing("the pixels cannot be decoded"):
        stored = (_decoded if layout.syntax.is_encapsulated else _plain)(frame, layout)
        if stored.shape != (layout.rows, layout.columns) or stored.dtype.kind not in "iu":
            raise RefusalError("the pixels are not one greyscale slice of whole numbers")
        return stored


def used_bits(stored: Stored, layout: Layout) -> Stored:
    """The values of their BitsStored lowest bits; what is above may be anything. Source: DICOM PS3.5 8.1.1."""
    unused = layout.bits_allocated - layout.bits_stored
    # JPEG codes no more bits than are used, and its decoder has seen to their sign.
    if unused == 0 or layout.is_jpeg:
        return stored
    used: Stored = (stored << unused) >> unused
    return used


def _plain(frame: bytes, layout: Layout) -> Stored:
    """The values where they lie: pydicom would copy them twice, which takes as long as all the arithmetic."""
    order, kind = "<" if layout.syntax.is_little_endian else ">", "i" if layout.signed else "u"
    values: Stored = np.frombuffer(frame, f"{order}{kind}{layout.bits_allocated // 8}")
    return values.reshape(layout.rows, layout.columns)


def _decoded(frame: bytes, layout: Layout) -> Stored:
    options: dict[str, Any] = {
        "decoding_plugin": plugin(layout.syntax),
        "transfer_syntax_uid": layout.syntax,
        "pixel_keyword": "PixelData",
        "pixel_vr": "OW" if layout.bits_allocated > 8 else "OB",
        "number_of_frames": 1,
        "rows": layout.rows,
        "columns": layout.columns,
        "samples_per_pixel": 1,
        "photometric_interpretation": layout.photometric,
        "bits_allocated": layout.bits_allocated,
        "bits_stored": layout.bits_stored,
        "pixel_representation": int(layout.signed),
        "correct_unused_bits": layout.is_jpeg,
    }
    stored: Stored
    # As if it were the only one.
    alone = encapsulate([frame], has_bot=False)
    stored, _ = get_decoder(layout.syntax).as_array(alone, index=0, raw=True, **options)
    return stored

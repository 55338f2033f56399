"""One frame's stored values out of a file, whatever their encoding; no other frame is read."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.decoders.base import get_decoder

from ctrobust.ingest.codestream import check_codestream
from ctrobust.ingest.elements import text
from ctrobust.ingest.layout import MOST_OVERHEAD, Layout, is_jpeg, plugin
from ctrobust.ingest.opening import DicomFile
from ctrobust.ingest.refusal import RefusalError, refusing

Stored = NDArray[np.integer]


def stored_pixels(file: DicomFile, layout: Layout, frame: int = 0, *, all_bits: bool = False) -> Stored:
    """(rows, columns) stored values of a frame, counted from 0.

    all_bits: the bits above BitsStored too, where the encoding keeps them; scanners put padding there.
    Raises RefusalError where the pixels cannot be decoded.
    """
    with refusing("the pixels cannot be decoded"):
        encoded = _encoded(file, layout, frame)
        values, _ = get_decoder(file.dataset.file_meta.TransferSyntaxUID).as_array(
            encoded, index=0, raw=True, **_options(file, layout, all_bits)
        )
        if values.shape != (layout.rows, layout.columns) or values.dtype.kind not in "iu":
            raise RefusalError("the pixels are not one greyscale slice of whole numbers")
        stored: Stored = values
        return stored


def keeps_all_bits(file: DicomFile, layout: Layout) -> bool:
    """Whether the bits above BitsStored may hold anything: JPEG codes no more bits than are used."""
    return layout.bits_stored < layout.bits_allocated and not is_jpeg(
        file.dataset.file_meta.TransferSyntaxUID
    )


def _encoded(file: DicomFile, layout: Layout, frame: int) -> bytes:
    """The bytes of one frame: plain, or checked and as if it were the only one."""
    syntax = file.dataset.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        file.stream.seek((file.pixels_at or 0) + frame * layout.frame_bytes)
        return file.stream.read(layout.frame_bytes)
    file.stream.seek(file.pixels_at or 0)
    offsets = file.dataset.get("ExtendedOffsetTable"), file.dataset.get("ExtendedOffsetTableLengths")
    encoded = get_frame(
        file.stream,
        frame,
        number_of_frames=layout.frames,
        extended_offsets=(offsets[0], offsets[1]) if all(offsets) else None,
    )
    if len(encoded) > 2 * layout.frame_bytes + MOST_OVERHEAD:
        raise RefusalError("more encoded pixels in the file than its Rows and Columns can need")
    if is_jpeg(syntax):
        check_codestream(encoded, syntax, (layout.rows, layout.columns))
    return encapsulate([encoded], has_bot=False)


def _options(file: DicomFile, layout: Layout, all_bits: bool) -> dict[str, Any]:
    syntax = file.dataset.file_meta.TransferSyntaxUID
    return {
        "decoding_plugin": plugin(syntax),
        "transfer_syntax_uid": syntax,
        "pixel_keyword": "PixelData",
        "pixel_vr": "OW" if layout.bits_allocated > 8 else "OB",
        "number_of_frames": 1,
        "rows": layout.rows,
        "columns": layout.columns,
        "samples_per_pixel": 1,
        "photometric_interpretation": text(file.dataset, "PhotometricInterpretation"),
        "bits_allocated": layout.bits_allocated,
        "bits_stored": layout.bits_stored,
        "pixel_representation": int(layout.signed),
        "correct_unused_bits": not all_bits,
    }

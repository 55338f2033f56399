"""How pixels are stored, checked against the bytes there are before anything is allocated for them."""

from dataclasses import dataclass

from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, RLELossless

from ctrobust.ingest.elements import Elements, text, whole
from ctrobust.ingest.opening import DicomFile
from ctrobust.ingest.refusal import RefusalError

MOST_SIDE = 4096
"""Rows or columns; beyond any scanner's slice."""
MOST_OVERHEAD = 1 << 20
"""Bytes of encoded pixels a frame may need beyond twice the plain ones; no encoder is as bad as that."""


@dataclass(frozen=True)
class Layout:
    """rows, columns, frames; bits of a stored value: allocated and used; whether it has a sign."""

    rows: int
    columns: int
    frames: int
    bits_allocated: int
    bits_stored: int
    signed: bool

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame, plain."""
        return self.rows * self.columns * (self.bits_allocated // 8)


def read_layout(file: DicomFile) -> Layout:
    """The layout of a file's pixels; raises RefusalError where they are absent, impossible or not greyscale,
    where no decoder is installed for them, or where fewer bytes are there than the header declares.
    """
    header = file.dataset
    if file.pixels_at is None or not all(header.get(name) for name in ("Rows", "Columns", "BitsAllocated")):
        raise RefusalError("no pixels")
    # MONOCHROME1 is about display alone (low values white): the way from stored value to HU is the same.
    if text(header, "PhotometricInterpretation") not in ("MONOCHROME1", "MONOCHROME2"):
        raise RefusalError("not a greyscale image")
    layout = Layout(
        rows=whole(header, "Rows"),
        columns=whole(header, "Columns"),
        frames=whole(header, "NumberOfFrames") if header.get("NumberOfFrames") else 1,
        bits_allocated=whole(header, "BitsAllocated"),
        bits_stored=whole(header, "BitsStored"),
        signed=whole(header, "PixelRepresentation") == 1,
    )
    _check_numbers(layout, header)
    plugin(header.file_meta.TransferSyntaxUID)
    _check_bytes(layout, file)
    return layout


def plugin(syntax: UID) -> str:
    """The decoder for a transfer syntax: "" for plain pixels; raises RefusalError where there is none.

    Named rather than left to pydicom, which would take Pillow where it finds it: another JPEG decoder, other
    HU, and none for 12 bits.
    """
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise RefusalError("its transfer syntax cannot be decoded", syntax.name) from None
    if not syntax.is_encapsulated:
        return ""
    name = "pydicom" if syntax == RLELossless else "pylibjpeg"
    if name not in decoder.available_plugins:
        raise RefusalError(
            f"no decoder installed for {syntax.name}",
            "install pylibjpeg, pylibjpeg-libjpeg and pylibjpeg-openjpeg",
        )
    return name


def is_jpeg(syntax: UID) -> bool:
    """JPEG, JPEG-LS or JPEG 2000: all that is encoded, but for run lengths."""
    return bool(syntax.is_encapsulated) and syntax != RLELossless


def _check_numbers(layout: Layout, header: Elements) -> None:
    if not (1 <= layout.rows <= MOST_SIDE and 1 <= layout.columns <= MOST_SIDE and layout.frames >= 1):
        raise RefusalError(f"Rows, Columns or NumberOfFrames impossible (at most {MOST_SIDE} a side)")
    if layout.bits_allocated not in (8, 16, 32) or not 1 <= layout.bits_stored <= layout.bits_allocated:
        raise RefusalError("BitsAllocated or BitsStored impossible")
    if header.get("HighBit") is not None and whole(header, "HighBit") != layout.bits_stored - 1:
        # Old exports pushed the values to the top of their bits; read as they stand they would be wrong HU.
        raise RefusalError("HighBit is not BitsStored - 1")
    if whole(header, "PixelRepresentation") not in (0, 1) or whole(header, "SamplesPerPixel") != 1:
        raise RefusalError("not a greyscale image")


def _check_bytes(layout: Layout, file: DicomFile) -> None:
    if not file.dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        if layout.frames * layout.frame_bytes > file.pixel_bytes:
            raise RefusalError("fewer pixels in the file than Rows, Columns and NumberOfFrames declare")
    elif file.pixel_bytes > layout.frames * (2 * layout.frame_bytes + MOST_OVERHEAD):
        raise RefusalError("more encoded pixels in the file than its Rows and Columns can need")

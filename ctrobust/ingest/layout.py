"""How and where pixels are stored, checked against the bytes there are before anything is allocated for them."""

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
    """All that it takes to read the pixels of a file without its header.

    rows, columns, frames        how many
    bits_allocated, bits_stored  of a stored value: the room it takes, and what of that is used
    signed                       whether a stored value has a sign
    photometric                  MONOCHROME1 or MONOCHROME2
    syntax                       the transfer syntax
    pixels_at                    offset of the value of PixelData, in the inflated data set where there is one
    body_at                      where in the file a deflated data set begins, or None
    offsets                      ExtendedOffsetTable and its lengths, or None
    """

    rows: int
    columns: int
    frames: int
    bits_allocated: int
    bits_stored: int
    signed: bool
    photometric: str
    syntax: UID
    pixels_at: int
    body_at: int | None
    offsets: tuple[bytes, bytes] | None

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame, plain."""
        return self.rows * self.columns * (self.bits_allocated // 8)

    @property
    def is_jpeg(self) -> bool:
        """JPEG, JPEG-LS or JPEG 2000: all that is encoded, but for run lengths."""
        return bool(self.syntax.is_encapsulated) and self.syntax != RLELossless


def read_layout(file: DicomFile) -> Layout:
    """The layout of a file's pixels; raises RefusalError where they are absent, impossible or not greyscale,
    where no decoder is installed for them, or where fewer bytes are there than the header declares.
    """
    header = file.header
    if file.pixels_at is None or not all(header.get(name) for name in ("Rows", "Columns", "BitsAllocated")):
        raise RefusalError("no pixels")
    # MONOCHROME1 is about display alone (low values white): the way from stored value to HU is the same.
    photometric = text(header, "PhotometricInterpretation")
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise RefusalError("not a greyscale image")
    offsets = header.get("ExtendedOffsetTable"), header.get("ExtendedOffsetTableLengths")
    layout = Layout(
        rows=whole(header, "Rows"),
        columns=whole(header, "Columns"),
        frames=(header.get("NumberOfFrames") and whole(header, "NumberOfFrames")) or 1,
        bits_allocated=whole(header, "BitsAllocated"),
        bits_stored=whole(header, "BitsStored"),
        signed=whole(header, "PixelRepresentation") == 1,
        photometric=photometric,
        syntax=file.dataset.file_meta.TransferSyntaxUID,
        pixels_at=file.pixels_at,
        body_at=file.body_at,
        offsets=(offsets[0], offsets[1]) if all(offsets) else None,
    )
    _check_numbers(layout, header)
    plugin(layout.syntax)
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
        raise RefusalError(
            "its transfer syntax cannot be decoded here: convert it first", syntax.name
        ) from None
    if not syntax.is_encapsulated:
        return ""
    name = "pydicom" if syntax == RLELossless else "pylibjpeg"
    if name not in decoder.available_plugins:
        raise RefusalError(
            f"no decoder installed for {syntax.name}",
            "install pylibjpeg, pylibjpeg-libjpeg and pylibjpeg-openjpeg",
        )
    return name


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
    if not layout.syntax.is_encapsulated:
        if layout.frames * layout.frame_bytes > file.pixel_bytes:
            raise RefusalError("fewer pixels in the file than Rows, Columns and NumberOfFrames declare")
    elif file.pixel_bytes > layout.frames * (2 * layout.frame_bytes + MOST_OVERHEAD):
        raise RefusalError("more encoded pixels in the file than its Rows and Columns can need")

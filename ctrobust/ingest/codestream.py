"""What an encoded frame says of itself, read before its decoder allocates as much as it asks for."""

from struct import unpack, unpack_from

from pydicom.uid import UID, JPEG2000TransferSyntaxes

from ctrobust.ingest.refusal import RefusalError

FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
"""Starts of frame; the rest of C0 … CF are tables. F7 is JPEG-LS."""
START_OF_SCAN, STANDALONE = 0xDA, {0x01, *range(0xD0, 0xD8)}
JPEG_LS_EXTENSION, OVERSIZE = 0xF8, 4
MOST_TILES = 1024
JP2_HEAD = 4096
"""Bytes of boxes a wrapped JPEG 2000 stream may begin with."""


def check_codestream(frame: bytes, syntax: UID, size: tuple[int, int]) -> None:
    """Raise RefusalError unless the JPEG, JPEG-LS or JPEG 2000 frame declares one component of `size`.

    A decoder trusts its codestream, not the header: twenty bytes may ask for gigabytes.
    """
    declared = _jpeg_2000(frame) if syntax in JPEG2000TransferSyntaxes else _jpeg(frame)
    if declared != (*size, 1):
        rows, columns, components = declared
        raise RefusalError(
            "its encoded pixels are of another size than its header declares",
            f"{rows}x{columns}, {components} components",
        )


def _jpeg(frame: bytes) -> tuple[int, int, int]:
    """(rows, columns, components) of the one frame before the first scan. Source: ITU T.81 B.2, T.87 C.2."""
    if frame[:2] != b"\xff\xd8":
        raise RefusalError("its encoded pixels are no JPEG")
    place, found = 2, []
    while True:
        if frame[place] != 0xFF:
            raise RefusalError("its encoded pixels are damaged")
        marker = frame[place + 1]
        if marker == 0xFF:  # a fill byte
            place += 1
            continue
        if marker == START_OF_SCAN:
            break
        place += 2
        if marker in STANDALONE:
            continue
        if marker in FRAME_MARKERS:
            rows, columns, components = unpack_from(">HHB", frame, place + 3)
            found.append((rows, columns, components))
        if marker == JPEG_LS_EXTENSION and frame[place + 2] == OVERSIZE:
            raise RefusalError("its encoded pixels are of another size than its header declares")
        (length,) = unpack(">H", frame[place : place + 2])
        place += max(length, 2)
    if len(found) != 1:
        raise RefusalError("its encoded pixels are damaged")
    return found[0]


def _jpeg_2000(frame: bytes) -> tuple[int, int, int]:
    """(rows, columns, components) of the image in few enough tiles. Source: ITU T.800 A.5.1."""
    start = frame[:JP2_HEAD].find(b"\xff\x4f\xff\x51")
    if start < 0:
        raise RefusalError("its encoded pixels are no JPEG 2000")
    right, bottom, left, top, wide, high, tile_left, tile_top, components = unpack_from(
        ">8LH", frame, start + 8
    )
    if not wide or not high:
        raise RefusalError("its encoded pixels are damaged")
    tiles = -(-(right - tile_left) // wide) * -(-(bottom - tile_top) // high)
    if tiles > MOST_TILES:
        raise RefusalError("its encoded pixels are in more tiles than any scanner makes")
    return bottom - top, right - left, components

"""A slice is taken once. The rule: of those in question the first that could be read, in the order of the store.

Two are the same slice if they are one object (same patient, SOPInstanceUID and position), if they stand at one
place in one series, or if they are one picture: the same pixels, too busy to repeat by chance, anywhere. A picture
under two patients would be trained on and judged on.
"""

from hashlib import sha256

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from ctrobust.ingest.header import SliceHeader
from ctrobust.ingest.refusal import RefusalError

LEAST_BUSY_PIXELS = 64 * 64
LEAST_BUSY_VALUES = 64
SAMPLE = 4096
"""Noise never repeats: a picture this large with this many values among so many pixels is one of its kind."""

Picture = tuple[object, ...]


class Duplicates:
    """What was taken so far; holds a few words a slice, no pixels."""

    def __init__(self) -> None:
        self._taken: dict[tuple[object, ...], str] = {}

    def check_header(self, header: SliceHeader, place: int) -> None:
        """Raise RefusalError where the slice, the `place`-th of its series, was taken already."""
        if _object(header) in self._taken:
            raise RefusalError("duplicate of a slice already taken")
        if (header.series, place) in self._taken:
            raise RefusalError("duplicate: another slice at its position in its series was taken")

    def check_picture(self, header: SliceHeader, picture: Picture) -> None:
        """Raise RefusalError where its pixels were taken already, under whatever name."""
        other = self._taken.get(picture)
        if other is not None:
            whose = "" if other == header.patient else " of another patient"
            raise RefusalError(f"duplicate: the same pixels as a slice{whose} already taken")

    def take(self, header: SliceHeader, place: int, picture: Picture) -> None:
        """Only a slice that was taken makes the next a duplicate: a copy may be the one that can be decoded."""
        keys = _object(header), (header.series, place), picture
        self._taken.update(dict.fromkeys(filter(None, keys), header.patient))


def _object(header: SliceHeader) -> tuple[object, ...]:
    # Careless exports give many slices one UID; those stand at different positions.
    return "object", header.instance, round(header.position_mm, 2)


def picture_of(header: SliceHeader, image_hu: NDArray[np.float32]) -> Picture:
    """By what a picture is known; () for a small or plain one, such as the empty slice at the end of a phantom."""
    sample = image_hu.ravel()[:: max(1, image_hu.size // SAMPLE)]
    if image_hu.size < LEAST_BUSY_PIXELS or len(np.unique(sample)) < LEAST_BUSY_VALUES:
        return ()
    # A sample and a checksum of all: a digest of all would take as long as decoding them.
    return "picture", header.size, isal_zlib.crc32(image_hu), sha256(sample.tobytes()).digest()

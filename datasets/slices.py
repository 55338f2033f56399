"""From a volume in HU, however it was stored, to the records of a store."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctrobust.core.progress import Progress
from ctrobust.core.records import SliceRecord
from ctrobust.core.units import PADDING_HU
from ctrobust.ingest.refusal import RefusalError, Refused

from .sources import Refuse, attempt

WARMEST_AIR_HU = -500.0
"""Every CT slice of a body shows some of the air around or in it; what has nothing below this is not in HU."""

UNKNOWN_MM = float("nan")
"""The position of a slice whose source does not say it."""


@dataclass(frozen=True)
class Volume:
    """Axial slices of one file, as a viewer shows them: row 0 to the front, column 0 at the patient's right.

    image_hu     (N, H, W) float32, as `checked_hu` returns it
    pixel_mm     (row spacing, column spacing)
    position_mm  N numbers along the normal of the slices; UNKNOWN_MM where the file does not say
    sha256       of the file
    """

    image_hu: NDArray[np.float32]
    pixel_mm: tuple[float, float]
    position_mm: tuple[float, ...]
    sha256: str

    def records(self, patient: str, series: str) -> Iterator[SliceRecord]:
        """Its slices in order, under these pseudonyms."""
        for index, image_hu in enumerate(self.image_hu):
            yield SliceRecord(
                image_hu=np.ascontiguousarray(image_hu),
                patient=patient,
                series=series,
                position_mm=self.position_mm[index],
                pixel_mm=self.pixel_mm,
                source_sha256=slice_sha256(self.sha256, index, len(self.image_hu)),
            )


def read_each(
    files: Sequence[Path], read: Callable[[Path], Volume], label: str, refuse: Refuse
) -> Iterator[tuple[Path, Volume]]:
    """Each file that `read` can make a volume of, in order; copies of one taken before are refused."""
    taken: set[str] = set()
    for path in Progress(files, label, total=len(files)):
        volume = attempt(read, path, refuse)
        if volume is None:
            continue
        if volume.sha256 in taken:
            refuse(Refused(path=path, sha256=volume.sha256, reason="the same bytes as a file already taken"))
            continue
        taken.add(volume.sha256)
        yield path, volume


def slice_sha256(file_sha256: str, index: int, count: int) -> str:
    """What stands for one of `count` slices of a file: SHA-256 of "<the file's>/<index>", the file's for a single one.

    A run draws the noise of a slice from this, so that slices of one file must not share it.
    """
    return file_sha256 if count == 1 else sha256(f"{file_sha256}/{index}".encode()).hexdigest()


def checked_hu(values: NDArray[Any], *, air: bool = True) -> NDArray[np.float32]:
    """Values in HU, rounded once to float32; what is below −1024 reads −1024. Any shape.

    air: refuse what has nothing below −500 HU. Raises RefusalError on that, on values that are not finite and on none.
    """
    if values.size == 0:
        raise RefusalError("no pixels")
    if not np.isfinite(values).all():
        raise RefusalError("NaN or infinite values; write -1024 there")
    if air and values.min() > WARMEST_AIR_HU:
        raise RefusalError(
            f"nothing below {WARMEST_AIR_HU:g}: a mask, an MR or a CT without its intercept rather than HU; "
            "if it is HU all the same, give --without-air"
        )
    image_hu = np.empty(values.shape, np.float32)
    # In float64 and buffered: a volume is large, and must be rounded only once.
    np.maximum(values, PADDING_HU, out=image_hu, dtype=np.float64, casting="unsafe")
    return image_hu

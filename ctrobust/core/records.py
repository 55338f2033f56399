"""What crosses a stage boundary: a slice from ingest to the store, a split from the store to training."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SliceRecord:
    """One axial slice as it goes into a store; carries nothing that identifies a person.

    image_hu       (H, W) float32, HU; padding and whatever is below −1024 reads −1024
    patient        pseudonym
    series         pseudonym
    position_mm    along the normal of the slice
    pixel_mm       (row spacing, column spacing) of `image_hu`
    source_sha256  SHA-256 of the file it was read from
    """

    image_hu: NDArray[np.float32]
    patient: str
    series: str
    position_mm: float
    pixel_mm: tuple[float, float]
    source_sha256: str


@dataclass(frozen=True)
class Split:
    """Slice indices of a store, by use. Nothing that is selected, tuned or stopped reads `eval`."""

    by: str
    seed: int
    store_sha256: str
    train: tuple[int, ...]
    val: tuple[int, ...]
    eval: tuple[int, ...]

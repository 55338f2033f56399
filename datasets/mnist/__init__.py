"""MNIST, and whatever else has its files: IDX, packed by gzip or not. See README.md."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ctrobust.core.errors import UserError

from .idx import read_idx

PARTS = ("train", "val", "test")
STEMS = {"train": ("train", "train10k"), "test": ("t10k",)}
"""`train10k`: the first 10,000 of the training set, for those who have no more; the whole one goes first."""

VAL_SHARE = 6
"""`val` is the last sixth of the training file, 10,000 of 60,000: MNIST itself has none."""


def digits(folder: Path, part: str) -> NDArray[np.float32]:
    """(N, H, W) images of `part` (train, val or test), 28 × 28 for MNIST, float32 in [0, 1]: stored/255, ink is 1.

    Raises UserError where the file is missing, damaged or no images of bytes.
    """
    path = _file(folder, part, "images", 3)
    stored = read_idx(path)
    if stored.ndim != 3 or stored.dtype != np.uint8 or stored.size == 0:
        raise UserError(
            f"{path}: {stored.dtype} {stored.shape} found, images of bytes needed; download it again"
        )
    return (_of(part, stored) / np.float32(255)).astype(np.float32)


def image_files(folder: Path) -> list[Path]:
    """The two files that `digits` reads. Raises UserError where one is missing."""
    return [_file(folder, part, "images", 3) for part in ("train", "test")]


def labels(folder: Path, part: str) -> NDArray[np.uint8]:
    """(N,) the digit of each image of `digits(folder, part)`. Raises UserError where the two files do not match."""
    path = _file(folder, part, "labels", 1)
    stored = read_idx(path)
    images = len(read_idx(_file(folder, part, "images", 3)))
    if stored.ndim != 1 or stored.dtype != np.uint8 or len(stored) != images:
        raise UserError(f"{path}: {stored.dtype} {stored.shape} for {images} images; download both again")
    return _of(part, stored)


def _of(part: str, stored: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if part == "test":
        return stored
    cut = len(stored) - len(stored) // VAL_SHARE
    return stored[:cut] if part == "train" else stored[cut:]


def _file(folder: Path, part: str, what: str, dimensions: int) -> Path:
    if part not in PARTS:
        raise UserError(f"part {part!r}: give one of {', '.join(PARTS)}")
    stems = STEMS["test" if part == "test" else "train"]
    names = [
        f"{stem}-{what}{dot}idx{dimensions}-ubyte{packed}"
        for stem in stems
        # Some unpackers write the dot.
        for dot in "-."
        for packed in ("", ".gz")
    ]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise UserError(
        f"{folder}: no {names[0]} or {names[1]} in there; put the files of MNIST there, see the card"
    )

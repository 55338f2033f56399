"""Patches of colour photographs, divided by photograph: SRC/train, SRC/val and SRC/test hold JPEG or PNG files.

A photograph of exactly the size asked for is a patch itself, so that this also reads a folder of small pictures.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ctrobust.core.errors import UserError

from .colour import read_rgb
from .sources import natural

PARTS = ("train", "val", "test")
ENDINGS = (".png", ".jpg", ".jpeg")


def photographs(folder: Path, part: str) -> list[Path]:
    """The files of `part` (train, val or test) in natural order. Raises UserError where there is none."""
    if part not in PARTS:
        raise UserError(f"part {part!r}: give one of {', '.join(PARTS)}")
    inside = folder / part
    files = sorted(inside.iterdir(), key=natural) if inside.is_dir() else []
    found = [path for path in files if path.suffix.lower() in ENDINGS]
    if not found:
        raise UserError(f"{inside}: no photograph ({', '.join(ENDINGS)}) in there; give each part its own")
    return found


def patches(path: Path, size: int) -> NDArray[np.float32]:
    """(N, 3, size, size) float32 in [0, 1]: all whole patches of a photograph, side by side about its middle.

    Raises UserError where it is smaller than one.
    """
    stored = read_rgb(path)
    down, across = (side // size for side in stored.shape[:2])
    if not (down and across):
        raise UserError(f"{path}: {stored.shape[1]} x {stored.shape[0]} pixels, less than a patch of {size}")
    top, left = (
        (side - count * size) // 2 for side, count in zip(stored.shape[:2], (down, across), strict=True)
    )
    whole = stored[top : top + down * size, left : left + across * size]
    cut = whole.reshape(down, size, across, size, 3).transpose(0, 2, 4, 1, 3)
    return cut.reshape(-1, 3, size, size).astype(np.float32) / np.float32(255)

"""CelebA: aligned faces in colour, read when asked for, by the published parts. See README.md."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from ctrobust.core.errors import UserError
from ctrobust.core.grid import regrid
from ctrobust.core.progress import say

from ..colour import read_rgb

PARTS = ("train", "val", "test")
"""As list_eval_partition.txt numbers them: 0, 1, 2."""

CROP, SIZE = 178, 64
"""The square across the whole width of an aligned image of 178 × 218, brought to 64 × 64."""

IMAGES = "img_align_celeba"
PARTITION = "list_eval_partition"


class Pictures(Sequence[NDArray[np.float32]]):
    """Colour pictures by their files: (3, size, size) float32 in [0, 1], each read when it is asked for.

    The central `crop` × `crop` pixels, each new pixel the mean of the old ones over its own area. Raises UserError on
    a crop or size that cannot be, and, when a picture is asked for, on one that is damaged, too small or not RGB.
    """

    def __init__(self, paths: Sequence[Path], *, crop: int = CROP, size: int = SIZE) -> None:
        if not 1 <= size <= crop:
            raise UserError(f"crop {crop}, size {size}: give a crop of at least `size`, both 1 or more")
        self.paths, self.crop, self.size = list(paths), crop, size

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.float32]: ...
    @overload
    def __getitem__(self, index: slice) -> "Pictures": ...
    def __getitem__(self, index: int | slice) -> "NDArray[np.float32] | Pictures":
        if isinstance(index, slice):
            return Pictures(self.paths[index], crop=self.crop, size=self.size)
        stored = _central(read_rgb(self.paths[index]), self.crop, self.paths[index])
        wide = (self.crop / self.size,) * 2
        channels = [
            regrid(channel, (1.0, 1.0), (self.size, self.size), (wide[0], wide[1]), outside=0.0)
            for channel in np.moveaxis(stored, 2, 0).astype(np.float32)
        ]
        return np.stack(channels) / np.float32(255)


def faces(folder: Path, part: str, *, crop: int = CROP, size: int = SIZE) -> Pictures:
    """The faces of `part` (train, val or test) as list_eval_partition says, in its order.

    folder: holds img_align_celeba/ and list_eval_partition.txt (or .csv), the latter also in Eval/. Raises UserError
    where either is missing, the list is no such list, or a face that it names is not there.
    """
    if part not in PARTS:
        raise UserError(f"part {part!r}: give one of {', '.join(PARTS)}")
    table, images = list_file(folder), _images(folder)
    parts = _read(table)
    there = {path.name for path in images.iterdir()}
    missing = [name for name, number in parts.items() if PARTS[number] == part and name not in there]
    if missing:
        raise UserError(
            f"{images}: {len(missing)} faces of {part} are missing, {missing[0]} first; unpack them again"
        )
    unnamed = len(there - set(parts))
    if unnamed:
        say(f"{images}: {unnamed} files that {table.name} does not name are in no part")
    chosen = [images / name for name, number in parts.items() if PARTS[number] == part]
    if not chosen:
        raise UserError(f"{table}: no face is in {part}; download it again")
    return Pictures(chosen, crop=crop, size=size)


def list_file(folder: Path) -> Path:
    """Where the parts are listed. Raises UserError where it is missing."""
    for path in (folder / place / f"{PARTITION}{end}" for place in ("", "Eval") for end in (".txt", ".csv")):
        if path.is_file():
            return path
    raise UserError(f"{folder}: no {PARTITION}.txt in there; put it beside {IMAGES}, see the card")


def _images(folder: Path) -> Path:
    # Unpacked into a folder of its own name, or under Img/ as on the authors' drive.
    for path in (folder / IMAGES / IMAGES, folder / "Img" / IMAGES, folder / IMAGES):
        if path.is_dir():
            return path
    raise UserError(f"{folder}: no folder {IMAGES} in there; unpack {IMAGES}.zip, see the card")


def _read(table: Path) -> dict[str, int]:
    """The part of each face by its number."""
    parts: dict[str, int] = {}
    try:
        lines = table.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{table}: cannot be read as text; download it again") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip() or (number == 1 and line.startswith("image_id")):
            continue
        entry = re.fullmatch(r"([\w-]+\.(?:jpg|png))[\s,]+([012])\s*", line)
        if entry is None:
            raise UserError(f"{table}, line {number}: a name and 0, 1 or 2 needed; download it again")
        if entry[1] in parts:
            raise UserError(f"{table}, line {number}: {entry[1]} stands twice; download it again")
        parts[entry[1]] = int(entry[2])
    return parts


def _central(stored: NDArray[np.uint8], crop: int, path: Path) -> NDArray[np.uint8]:
    height, width = stored.shape[:2]
    if min(height, width) < crop:
        raise UserError(
            f"{path}: {width} x {height} pixels, fewer than the crop of {crop}; give a smaller crop"
        )
    top, left = (height - crop) // 2, (width - crop) // 2
    return stored[top : top + crop, left : left + crop]

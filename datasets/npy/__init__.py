"""A folder of .npy arrays in HU, (H, W) or (N, H, W). See README.md."""

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from ctrobust.core.files import sha256_of
from ctrobust.core.records import SliceRecord
from ctrobust.ingest import Pseudonyms
from ctrobust.ingest.refusal import RefusalError

from ..patients import Patients
from ..raster.scale import require_pixel_mm
from ..slices import UNKNOWN_MM, Volume, checked_hu, read_each
from ..sources import Refuse, files_below, tell


def configure(parser: argparse.ArgumentParser) -> None:
    """Its options on the command line."""
    parser.add_argument(
        "--pixel-mm", type=float, required=True, metavar="MM", help="side of the square pixels"
    )
    parser.add_argument(
        "--table", type=Path, metavar="FILE.csv", help="whose files they are: columns file, patient"
    )
    parser.add_argument("--without-air", dest="air", action="store_false", help="take arrays without air too")


def records(
    folder: Path,
    *,
    pixel_mm: float,
    table: Path | None = None,
    pseudonyms: Pseudonyms | None = None,
    air: bool = True,
    refuse: Refuse = tell,
) -> Iterator[SliceRecord]:
    """The slices of every array below `folder` in their order; holds one array at a time.

    pixel_mm: side of the square pixels, which no .npy says. An array of several slices is one patient where it lies
    directly in `folder`, arrays of one slice there are one patient together; see `Patients`, or give `table`.
    Raises UserError on a wrong folder, table or pixel size.
    """
    require_pixel_mm(pixel_mm)
    files = files_below(folder, (".npy",), "NumPy", refuse)
    volumes = Patients("npy", folder, table, pseudonyms)
    single = Patients("npy", folder, table, pseudonyms, loose=False)
    volumes.require(files)
    for path, volume in read_each(files, partial(_read, pixel_mm=pixel_mm, air=air), "npy", refuse):
        if len(volume.image_hu) > 1:
            names = volumes.of(path)
        else:
            names = single.of(path, path.parent.relative_to(folder).as_posix())
        yield from volume.records(*names)


def _read(path: Path, *, pixel_mm: float, air: bool) -> Volume:
    # Mapped: a header that promises more than the file holds fails before any memory is asked for.
    values = np.load(path, mmap_mode="r", allow_pickle=False)
    if values.ndim not in (2, 3) or values.dtype.kind not in "iuf":
        raise RefusalError("not (H, W) or (N, H, W) numbers", f"{values.dtype} {values.shape}")
    image_hu = checked_hu(values if values.ndim == 3 else values[None], air=air)
    return Volume(image_hu, (pixel_mm, pixel_mm), (UNKNOWN_MM,) * len(image_hu), sha256_of(path))

"""A folder of PNG or TIFF slices, grey levels that the user's scale turns into HU. See README.md."""

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctrobust.core.files import sha256_of
from ctrobust.core.records import SliceRecord
from ctrobust.ingest import Pseudonyms
from ctrobust.ingest.refusal import RefusalError

from ..patients import Patients
from ..slices import UNKNOWN_MM, Volume, checked_hu, read_each
from ..sources import Refuse, files_below, tell
from .scale import Scale, require_pixel_mm

PNG, TIFF = (".png",), (".tif", ".tiff")
LARGEST = 4096
"""No scanner reconstructs more; what a header promises beyond is not asked memory for."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Its options on the command line."""
    parser.add_argument(
        "--pixel-mm", type=float, required=True, metavar="MM", help="side of the square pixels"
    )
    parser.add_argument(
        "--window", nargs=2, type=float, metavar=("LOW", "HIGH"), help="HU of black and of the whitest level"
    )
    parser.add_argument("--slope", type=float, metavar="S", help="HU = S * stored + I")
    parser.add_argument("--intercept", type=float, metavar="I", help="HU = S * stored + I")
    parser.add_argument(
        "--table", type=Path, metavar="FILE.csv", help="whose files they are: columns file, patient"
    )
    parser.add_argument(
        "--without-air", dest="air", action="store_false", help="take pictures without air too"
    )


def records(
    folder: Path,
    *,
    pixel_mm: float,
    window: tuple[float, float] | None = None,
    slope: float | None = None,
    intercept: float | None = None,
    table: Path | None = None,
    pseudonyms: Pseudonyms | None = None,
    air: bool = True,
    refuse: Refuse = tell,
) -> Iterator[SliceRecord]:
    """The slices of every picture below `folder` by name, slice-2 before slice-10; a TIFF may hold several.

    pixel_mm, and either window or slope and intercept (see `Scale`), are the user's to say. Pictures of one folder are
    one series; the patient is the first folder below `folder`, and all that lies directly in it is one patient.
    Raises UserError on a wrong folder, table, scale or pixel size.
    """
    require_pixel_mm(pixel_mm)
    scale = Scale((window[0], window[1]) if window else None, slope, intercept)
    files = files_below(folder, PNG + TIFF, "PNG or TIFF", refuse)
    patients = Patients("raster", folder, table, pseudonyms, loose=False)
    patients.require(files)
    for path, volume in read_each(
        files, partial(_read, scale=scale, pixel_mm=pixel_mm, air=air), "raster", refuse
    ):
        series = path.parent.relative_to(folder).as_posix()
        yield from volume.records(*patients.of(path, series))


def _read(path: Path, *, scale: Scale, pixel_mm: float, air: bool) -> Volume:
    stored = _png(path) if path.suffix.lower() in PNG else _tiff(path)
    image_hu = checked_hu(scale.hu(stored), air=air)
    return Volume(image_hu, (pixel_mm, pixel_mm), (UNKNOWN_MM,) * len(image_hu), sha256_of(path))


def _png(path: Path) -> NDArray[Any]:
    from PIL import Image

    with Image.open(path, formats=["PNG"]) as picture:
        if picture.mode not in ("L", "I;16", "I;16B", "I"):
            raise RefusalError(
                "colours, a palette or one bit: no grey levels; save one channel of 8 or 16 bits",
                picture.mode,
            )
        stored = np.asarray(picture)
    # Pillow may hand 16 bits over in wider integers.
    return (stored if stored.dtype == np.uint8 else stored.astype(np.uint16))[None]


def _tiff(path: Path) -> NDArray[Any]:
    import tifffile

    with tifffile.TiffFile(path) as file:
        # Whole pages, not the short forms that leave out what the first one says.
        file.pages.useframes = False
        pages: list[Any] = list(file.pages)
        if any(max(page.shape) > LARGEST for page in pages):
            raise RefusalError(f"larger than {LARGEST} pixels: no slice of a scanner")
        if any(
            page.samplesperpixel != 1 or page.photometric == tifffile.PHOTOMETRIC.PALETTE for page in pages
        ):
            raise RefusalError(
                "colours, a palette or one bit: no grey levels; save one channel of 8 or 16 bits"
            )
        if any(page.photometric == tifffile.PHOTOMETRIC.MINISWHITE for page in pages):
            raise RefusalError("white stands for zero; save it with black as zero")
        stored = np.stack([page.asarray() for page in pages])
    if stored.ndim != 3 or stored.dtype.kind not in "iuf":
        raise RefusalError("not pages of grey levels", f"{stored.dtype} {stored.shape}")
    return stored

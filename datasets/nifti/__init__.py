"""A folder of NIfTI volumes in HU, cut into axial slices as a viewer shows them. See README.md."""

import argparse
import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctrobust.core.errors import UserError
from ctrobust.core.files import sha256_of
from ctrobust.core.records import SliceRecord
from ctrobust.ingest import Pseudonyms
from ctrobust.ingest.refusal import RefusalError

from ..patients import Patients
from ..slices import Volume, checked_hu, read_each
from ..sources import Refuse, files_below, tell

ENDINGS = (".nii", ".nii.gz")
MOST_PACKED = 1100
"""gzip packs at most 1,032 bytes into one: a header that promises more is a lie."""

MOST_TILT = math.radians(45)
"""As for DICOM: a normal further than this from the body's axis is not that of a scanned slice."""

MM_OF_UNIT = {"mm": 1.0, "unknown": 1.0, "meter": 1000.0, "micron": 0.001}
"""Whoever left the unit open meant mm: no scanner writes anything else."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Its options on the command line."""
    parser.add_argument(
        "--table", type=Path, metavar="FILE.csv", help="whose files they are: columns file, patient"
    )
    parser.add_argument(
        "--without-air", dest="air", action="store_false", help="take volumes without air too"
    )


def records(
    folder: Path,
    *,
    table: Path | None = None,
    pseudonyms: Pseudonyms | None = None,
    air: bool = True,
    refuse: Refuse = tell,
) -> Iterator[SliceRecord]:
    """The axial slices of every volume below `folder`, from the feet up; holds one volume at a time.

    table: a CSV file with the columns file, patient; without it see `Patients`. air: refuse volumes without any, such
    as masks. Raises UserError on a wrong folder or table, or where nibabel is not installed.
    """
    _nibabel()
    files = files_below(folder, ENDINGS, "NIfTI", refuse)
    patients = Patients("nifti", folder, table, pseudonyms)
    patients.require(files)
    for path, volume in read_each(files, partial(_read, air=air), "nifti", refuse):
        yield from volume.records(*patients.of(path))


def _nibabel() -> Any:
    try:
        import nibabel
    except ImportError:
        raise UserError("nibabel is not installed: pip install 'ctrobust[datasets]'") from None
    return nibabel


def _read(path: Path, *, air: bool) -> Volume:
    nibabel = _nibabel()
    image = nibabel.load(path)
    _check(image, path)
    canonical = nibabel.as_closest_canonical(image)
    mm = MM_OF_UNIT.get(canonical.header.get_xyzt_units()[0])
    if mm is None:
        raise RefusalError("its unit of length is unknown to NIfTI; correct xyzt_units")
    pixel_mm, positions = _place(canonical.affine, canonical.shape[2], mm)
    # Canonical axes run to the right, front and head; a viewer's columns to the left, its rows to the back.
    values = np.asanyarray(canonical.dataobj).reshape(canonical.shape[:3])[::-1, ::-1]
    image_hu = checked_hu(values.transpose(2, 1, 0), air=air)
    return Volume(image_hu, pixel_mm, positions, sha256_of(path))


def _check(image: Any, path: Path) -> None:
    header = image.header
    if len(image.shape) < 3 or math.prod(image.shape[3:]) != 1:
        raise RefusalError("not one volume of three dimensions", str(image.shape))
    if image.get_data_dtype().kind not in "iuf":
        raise RefusalError("its voxels are colours or complex, not HU")
    if math.prod(image.shape) * image.get_data_dtype().itemsize > MOST_PACKED * path.stat().st_size:
        raise RefusalError("damaged file", "the header promises more voxels than the file can hold")
    if not (int(header["sform_code"]) or int(header["qform_code"])):
        raise RefusalError("neither sform nor qform: which side is left cannot be known; write one of them")
    if not (np.isfinite(image.affine).all() and abs(np.linalg.det(image.affine[:3, :3])) > 0):
        raise RefusalError("its affine is singular; write a right sform or qform")


def _place(
    affine: NDArray[np.float64], slices: int, mm: float
) -> tuple[tuple[float, float], tuple[float, ...]]:
    """Pixel size, and each slice's position along the normal as in DICOM: towards the head, from its origin."""
    to_right, to_front, to_head = affine[:3, :3].T * mm
    columns_mm, rows_mm = float(np.linalg.norm(to_right)), float(np.linalg.norm(to_front))
    if abs(to_right @ to_front) > 1e-3 * columns_mm * rows_mm:
        raise RefusalError("the sides of its pixels are not square to each other; resample the volume")
    normal = np.cross(to_right, to_front) / (columns_mm * rows_mm)
    if normal[2] < math.cos(MOST_TILT):
        raise RefusalError("no axial slices: its axes are too far from the body's; resample the volume")
    first = affine[:3, 3] * mm
    positions = (float((first + index * to_head) @ normal) for index in range(slices))
    return (rows_mm, columns_mm), tuple(positions)

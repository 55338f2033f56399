"""LoDoPaB-CT: the ground truth images of the HDF5 files, in HU. See README.md."""

import argparse
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ctrobust.core.errors import UserError
from ctrobust.core.files import sha256_of
from ctrobust.core.progress import Progress, say
from ctrobust.core.records import SliceRecord
from ctrobust.ingest.refusal import RefusalError, Refused

from ..slices import UNKNOWN_MM, Volume, checked_hu
from ..sources import Refuse, attempt, files_below, tell

SLICES = {"train": 35820, "validation": 3522, "test": 3553}
"""Of each published part; files hold 128 each, the last what remains."""

SIDE, PER_FILE = 362, 128
PIXEL_MM = 260 / SIDE
"""Nominal: every image counts as 26 cm wide, whatever its scanner's pixels were."""

WATER_PER_M, AIR_PER_M = 20.0, 0.02
LARGEST_PER_M = 3071 * (WATER_PER_M - AIR_PER_M) / 1000 + WATER_PER_M
"""81.35858 m⁻¹, the attenuation that was stored as 1."""

NAME = re.compile(r"ground_truth_(train|validation|test)_(\d{3})\.hdf5")


def configure(parser: argparse.ArgumentParser) -> None:
    """Its options on the command line."""
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=list(SLICES),
        default=list(SLICES),
        help="parts to read; default: all there are",
    )


def records(
    folder: Path, *, parts: Sequence[str] = tuple(SLICES), refuse: Refuse = tell
) -> Iterator[SliceRecord]:
    """The ground truth slices below `folder`, part by part in the order of the files; holds one file at a time.

    The patient is `lodopab-0691` where patient_ids_rand_PART.csv is there, `lodopab-PART` otherwise: a whole part
    then counts as one patient. The series is always `lodopab-PART`, by which `ctrobust split --list` can follow the
    published parts. Raises UserError on a folder without such files, a part that is not there, or a wrong table.
    """
    found = _by_part(folder, refuse)
    for part in parts:
        if part not in SLICES:
            raise UserError(f"part {part!r}: give one of {', '.join(SLICES)}")
    if not any(found[part] for part in parts):
        raise UserError(
            f"{folder}: no ground_truth_*.hdf5 of {', '.join(parts)} in there; unpack the zip files first"
        )
    for part in SLICES:
        if part not in parts:
            for path in found[part].values():
                refuse(Refused(path, None, f"part {part} was not asked for"))
    for part in parts:
        yield from _read_part(folder, part, found[part], refuse)


def hu_of(stored: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """HU = 1000·(g·μ_max − μ_w)/(μ_w − μ_a), μ_max = 81.35858 m⁻¹, μ_w = 20 m⁻¹, μ_a = 0.02 m⁻¹; any shape.

    The inverse of what the authors' script does (create_dataset.py of jleuschn/lodopab_tech_ref). g = 0, which also
    stands for all that was below, reads −1001.0; g = 1 reads 3071.
    """
    hu: NDArray[np.float64] = (stored.astype(np.float64) * LARGEST_PER_M - WATER_PER_M) * 1000
    return hu / (WATER_PER_M - AIR_PER_M)


def _by_part(folder: Path, refuse: Refuse) -> dict[str, dict[int, Path]]:
    found: dict[str, dict[int, Path]] = {part: {} for part in SLICES}
    for path in files_below(folder, (".hdf5", ".csv", ".zip"), "LoDoPaB-CT", refuse):
        name = NAME.fullmatch(path.name)
        if name and int(name[2]) in found[name[1]]:
            refuse(Refused(path, None, "another file of this name was taken already"))
        elif name:
            found[name[1]][int(name[2])] = path
        elif path.suffix == ".zip":
            refuse(Refused(path, None, "still packed; unzip it first"))
        elif path.name.startswith("observation_"):
            refuse(Refused(path, None, "a simulated measurement, not an image: ctrobust simulates its own"))
        elif not path.name.startswith("patient_ids_rand_"):
            refuse(Refused(path, None, "no file of LoDoPaB-CT by its name"))
    return found


def _read_part(folder: Path, part: str, files: dict[int, Path], refuse: Refuse) -> Iterator[SliceRecord]:
    if not files:
        return
    expected = -(-SLICES[part] // PER_FILE)
    if len(files) < expected:
        say(f"lodopab: {len(files)} of the {expected} files of {part} are there")
    patients = _patients(folder, part)
    for number in Progress(sorted(files), f"lodopab {part}", total=len(files)):
        volume = attempt(partial(_read, part=part, number=number), files[number], refuse)
        for row, record in enumerate(volume.records("", f"lodopab-{part}") if volume else ()):
            yield replace(record, patient=patients[PER_FILE * number + row])


def _read(path: Path, part: str, number: int) -> Volume:
    rows = min(PER_FILE, SLICES[part] - PER_FILE * number)
    if rows < 1:
        raise RefusalError(f"its number is beyond the {SLICES[part]} slices of {part}")
    with h5py.File(path, "r") as file:
        data = file.get("data")
        if not isinstance(data, h5py.Dataset) or data.ndim != 3 or data.shape[1:] != (SIDE, SIDE):
            raise RefusalError(f"no data set `data` of {SIDE} x {SIDE} images; download it again")
        if data.dtype.kind != "f" or not rows <= len(data) <= PER_FILE:
            raise RefusalError(
                f"`data` is not {rows} images of floats; download it again", f"{data.dtype} {data.shape}"
            )
        stored = data[:]
    # The authors' script cuts the last measurements to length, not the last images: what it never wrote is zero.
    if stored[rows:].any():
        raise RefusalError(f"images beyond the {SLICES[part]} slices of {part}; download it again")
    stored = stored[:rows]
    if not (stored.min() >= 0 and stored.max() <= 1):
        raise RefusalError("values outside [0, 1]: not the normalised attenuation; download it again")
    if not stored.any(axis=(1, 2)).all():
        raise RefusalError("an image of nothing but zeros: never written; download it again")
    # Stored with x along the first axis.
    image_hu = checked_hu(hu_of(stored.transpose(0, 2, 1)), air=False)
    return Volume(image_hu, (PIXEL_MM, PIXEL_MM), (UNKNOWN_MM,) * rows, sha256_of(path))


def _patients(folder: Path, part: str) -> Sequence[str]:
    """A name for every slice of the part."""
    name = f"patient_ids_rand_{part}.csv"
    tables = sorted(folder.rglob(name))
    if not tables:
        say(f"lodopab: no {name}: all of {part} counts as one patient; put the file (Zenodo) beside the data")
        return (f"lodopab-{part}",) * SLICES[part]
    try:
        numbers = [int(line) for line in tables[0].read_text(encoding="ascii").split()]
    except (OSError, ValueError) as error:
        raise UserError(f"{tables[0]}: not a whole number a line; download it again") from error
    if len(numbers) != SLICES[part] or min(numbers) < 0:
        raise UserError(
            f"{tables[0]}: {len(numbers)} patients for the {SLICES[part]} slices of {part}; download it again"
        )
    return [f"lodopab-{number:04d}" for number in numbers]

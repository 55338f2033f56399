"""The embedded data set: synthetic patients drawn in HU and written as DICOM CT series. See README.md."""

from collections.abc import Callable, Iterable
from pathlib import Path

from ctrobust.core.seeds import derive_seed

from .anatomy import Patient, draw_patient
from .scanners import SCANNERS
from .series import write_series

VERSION = 1
"""Goes up whenever the same arguments would write other bytes; part of every cache key and UID."""

__all__ = ["VERSION", "Patient", "draw_patient", "patient_seed", "write_dicom", "write_series"]


def write_dicom(
    folder: Path,
    *,
    patients: int = 24,
    slices: int = 6,
    size: int = 256,
    seed: int = 0,
    progress: Callable[[Iterable[int]], Iterable[int]] | None = None,
) -> None:
    """Write `patients` series of `slices` images, each of `size` × `size` pixels, below `folder`.

    The same arguments write the same bytes, and patient n is the same however many there are. `progress`
    wraps the iteration over patients. Raises ValueError on a number below 1, or on fewer than 16 pixels.
    """
    if patients < 1:
        raise ValueError(f"patients {patients}: at least 1 is needed")
    numbers: Iterable[int] = range(patients)
    for number in progress(numbers) if progress else numbers:
        drawn = draw_patient(patient_seed(seed, number), slices, size)
        study = f"{VERSION}/{seed}/{slices}/{size}/{number}"
        scanner = SCANNERS[number % len(SCANNERS)]
        write_series(drawn, folder, label=f"P{number:02d}", scanner=scanner, study=study)


def patient_seed(seed: int, number: int) -> int:
    """The seed that `draw_patient` takes for patient `number` of the set that `seed` stands for."""
    return derive_seed(seed, "synthetic", number)

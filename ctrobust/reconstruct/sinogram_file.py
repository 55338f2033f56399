"""Sinograms from a file, .npy or HDF5, mapped and read a few at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from ctrobust.core.errors import UserError

HDF5 = (".h5", ".hdf5")
DEFAULT_DATASET = "sinogram"


class Sinograms:
    """N sinograms y, in mm of water: len(y), and y[first:last] as (B, 1, views, bins) float32."""

    def __init__(self, values: Any, name: str, shape: tuple[int, int]) -> None:
        """`values`: an array, in memory or on disk, of (views, bins), (N, views, bins) or (N, 1, views, bins)."""
        self._values, self._name, self._shape = values, name, shape
        found = tuple(values.shape)
        if values.dtype.kind not in "iuf" or found[-2:] != shape or not _is_batch(found[:-2]):
            views, bins = shape
            raise UserError(
                f"{name}: {values.dtype} of shape {found}; give real numbers of shape ({views}, {bins}), "
                f"(N, {views}, {bins}) or (N, 1, {views}, {bins}): views and bins are the run's"
            )

    def __len__(self) -> int:
        return int(self._values.shape[0]) if self._values.ndim > 2 else 1

    def __getitem__(self, wanted: slice) -> Tensor:
        """Raises UserError where one of them holds NaN, infinity or what float32 cannot."""
        values = self._values[wanted] if self._values.ndim > 2 else self._values[()][None][wanted]
        with np.errstate(over="ignore"):
            y = np.array(values, dtype=np.float32).reshape(-1, 1, *self._shape)
        bad = ~np.isfinite(y).all(axis=(1, 2, 3))
        if bad.any():
            first = (wanted.start or 0) + int(np.argmax(bad))
            raise UserError(
                f"{self._name}: sinogram {first} (counted from 0) holds NaN or infinity; put a reading in place of "
                "dead bins and starved rays first"
            )
        return torch.from_numpy(y)


@contextmanager
def open_sinograms(path: Path, shape: tuple[int, int], dataset: str | None = None) -> Iterator[Sinograms]:
    """The sinograms of a .npy or HDF5 file; `shape` is (views, bins).

    dataset: its name in an HDF5 file; by default /sinogram, or the only one of two to four dimensions. Raises
    UserError on a file that is missing, damaged or of another kind, shape or number of data sets.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; check the path")
    if path.suffix.lower() in HDF5:
        with _opened_hdf5(path) as file:
            found = _dataset(file, path, dataset)
            yield Sinograms(found, f"{path}{found.name}", shape)
    elif path.suffix.lower() == ".npy":
        if dataset is not None:
            raise UserError(
                f"--dataset {dataset}: {path} is a .npy file, which holds one array; leave it out"
            )
        yield Sinograms(_mapped(path), str(path), shape)
    else:
        raise UserError(f"{path}: not a sinogram; give a .npy or .h5 file, or a folder of DICOM slices")


def _is_batch(leading: tuple[int, ...]) -> bool:
    return leading == () or (leading[0] > 0 and leading[1:] in ((), (1,)))


def _mapped(path: Path) -> Any:
    try:
        # Mapped: a header that promises more than the file holds fails before any memory is asked for.
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, SyntaxError) as error:
        raise UserError(f"{path}: not an array of numbers in NumPy's format, or damaged ({error})") from None


def _opened_hdf5(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError:
        raise UserError(f"{path}: not an HDF5 file, or damaged; give another") from None


def _dataset(file: h5py.File, path: Path, name: str | None) -> h5py.Dataset:
    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if _may_be_sinograms(item) else None)
    if name is None and DEFAULT_DATASET in names:
        name = DEFAULT_DATASET
    if name is None and len(names) == 1:
        name = names[0]
    if name is None or name.strip("/") not in names:
        listed = f"one of {', '.join(sorted(names))}" if names else "a file that has one"
        wrong = f"no data set {name}" if name else f"{len(names) or 'no'} data sets that may be sinograms"
        raise UserError(f"{path}: {wrong} of 2 to 4 dimensions; name {listed} by --dataset NAME")
    return file[name]


def _may_be_sinograms(item: Any) -> bool:
    return isinstance(item, h5py.Dataset) and 2 <= len(item.shape or ()) <= 4

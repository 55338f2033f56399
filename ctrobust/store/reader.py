"""A store as arrays: the columns in memory, the images one at a time."""

import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctrobust.core.errors import UserError
from ctrobust.core.files import sha256_of
from ctrobust.store import schema
from ctrobust.store.opening import open_store


class Store:
    """The slices of an HDF5 store, N of them; raises UserError where the file is none or is damaged.

    image_shape    (H, W)
    patients       N pseudonyms
    series         N pseudonyms
    position_mm    (N,) along the normal of the slice
    pixel_mm       (N, 2) row and column spacing of the images
    source_sha256  N hex digests
    schema, created_by   by what it was written
    key_id         which key its pseudonyms are of, "" where none is said

    May be pickled and used after a fork: every process opens the file for itself. Close it, or use `with`.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).resolve()
        self._file: Any = None
        self._process = -1
        with open_store(self.path) as store:
            self.schema = int(store.attrs[schema.SCHEMA_ATTRIBUTE])
            self.key_id = str(store.attrs.get(schema.KEY_ID_ATTRIBUTE, ""))
            self.created_by = str(store.attrs[schema.CREATED_BY_ATTRIBUTE])
            self.image_shape: tuple[int, int] = tuple(store[schema.IMAGE].shape[1:])
            self.patients = _text(store[schema.PATIENT])
            self.series = _text(store[schema.SERIES])
            self.position_mm: NDArray[np.float64] = store[schema.POSITION_MM][:]
            self.pixel_mm: NDArray[np.float64] = store[schema.PIXEL_MM][:]
            self.source_sha256 = _text(store[schema.SOURCE_SHA256])

    def __len__(self) -> int:
        return len(self.patients)

    def image(self, index: int) -> NDArray[np.float32]:
        """(H, W) float32 HU of one slice. Raises IndexError out of range, UserError where it is damaged."""
        if not 0 <= index < len(self):
            raise IndexError(f"slice {index}: the store has {len(self)}, counted from 0")
        try:
            image_hu: NDArray[np.float32] = self._own_file()[schema.IMAGE][index]
        except OSError as error:
            raise UserError(
                f"{self.path}: slice {index} cannot be read, the file is damaged; copy or ingest it again"
            ) from error
        return image_hu

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file's bytes, in hex; computed once."""
        return sha256_of(self.path)

    def close(self) -> None:
        """Let the file go; the next image opens it again."""
        if self._file is not None and self._process == os.getpid():
            self._file.close()
        self._file = None

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_file": None, "_process": -1}

    def _own_file(self) -> Any:
        # A handle that came through a fork shares its position and cache with the parent's.
        if self._file is None or self._process != os.getpid():
            self._file, self._process = open_store(self.path), os.getpid()
        return self._file


def _text(dataset: Any) -> tuple[str, ...]:
    return tuple(value.decode("ascii", "replace") for value in dataset[:])

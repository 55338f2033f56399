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
from ctrobust.store.packing import is_packed, unpack


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
        self._images: Any = None
        self._packed = False
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
            return self._read(index)
        # What damage makes h5py raise is anything, from OSError to RuntimeError.
        except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{self.path}: slice {index} cannot be read, the file is damaged; copy or ingest it again"
            ) from error

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file's bytes, in hex; computed once."""
        return sha256_of(self.path)

    def close(self) -> None:
        """Let the file go; the next image opens it again."""
        if self._images is not None and self._process == os.getpid():
            self._images.file.close()
        self._images = None

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_images": None, "_process": -1}

    def _read(self, index: int) -> NDArray[np.float32]:
        # A handle that came through a fork shares its position and cache with the parent's.
        if self._images is None or self._process != os.getpid():
            self._images, self._process = open_store(self.path)[schema.IMAGE], os.getpid()
            self._packed = is_packed(self._images)
        if self._packed:
            skipped, chunk = self._images.id.read_direct_chunk((index, 0, 0))
            if not skipped:
                return unpack(chunk, self.image_shape)
        image_hu: NDArray[np.float32] = self._images[index]
        return image_hu


def _text(dataset: Any) -> tuple[str, ...]:
    return tuple(value.decode("ascii", "replace") for value in dataset[:])

"""Opens a store after checking that it is one; every way it can fail has its own line."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ctrobust.core.errors import UserError
from ctrobust.store import schema


def open_store(path: Path) -> Any:
    """The open h5py file of a store this version can read. Raises UserError otherwise."""
    _check_file(path)
    try:
        # Stores lie on read-only and network disks, where a lock is refused.
        store = h5py.File(path, "r", locking="best-effort")
    except OSError as error:
        raise _damaged(path, "truncated" if "truncated" in str(error) else "damaged") from error
    try:
        _check_schema(path, store)
        _check_columns(path, store)
    except UserError:
        store.close()
        raise
    # What damage makes h5py raise is anything, from KeyError to RuntimeError.
    except Exception as error:
        store.close()
        raise _damaged(path, "damaged") from error
    return store


def _check_file(path: Path) -> None:
    if not path.exists():
        raise UserError(f"{path}: no such store; `ctrobust ingest DIR --out {path.name}` makes one")
    try:
        path.open("rb").close()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); name a store file") from error
    if not h5py.is_hdf5(path):
        raise UserError(f"{path}: not an HDF5 file; name a store made by `ctrobust ingest`")


def _check_schema(path: Path, store: Any) -> None:
    found = store.attrs.get(schema.SCHEMA_ATTRIBUTE)
    creator = store.attrs.get(schema.CREATED_BY_ATTRIBUTE)
    if not (isinstance(found, np.integer) and str(creator).startswith("ctrobust ")):
        raise _not_a_store(path)
    if not 1 <= found <= schema.SCHEMA:
        raise UserError(
            f"{path}: schema {found}, written by {creator}; this is {schema.CREATED_BY}, which reads up to "
            f"schema {schema.SCHEMA}: upgrade ctrobust"
        )


def _check_columns(path: Path, store: Any) -> None:
    found = {name: store.get(name) for name in (schema.IMAGE, *schema.COLUMNS)}
    if not all(isinstance(dataset, h5py.Dataset) for dataset in found.values()):
        raise _not_a_store(path)
    images = found.pop(schema.IMAGE)
    whole = images.ndim == 3 and images.dtype == np.float32 and len(images) > 0
    for name, column in found.items():
        shape = (len(images), 2) if name == schema.PIXEL_MM else (len(images),)
        whole = (
            whole and column.shape == shape and column.dtype.kind == ("f" if name.endswith("_mm") else "S")
        )
    if not whole:
        raise _not_a_store(path)
    promised, found_sha256 = store.attrs.get(schema.COLUMNS_SHA256_ATTRIBUTE), schema.columns_sha256(store)
    # Stores of version 0.1.0 made before there was one have none.
    if promised not in (None, found_sha256):
        raise _damaged(path, "damaged, its columns are not what was written")


def _damaged(path: Path, how: str) -> UserError:
    return UserError(f"{path}: the file is {how}; copy it again, or ingest again")


def _not_a_store(path: Path) -> UserError:
    return UserError(f"{path}: HDF5, but not a ctrobust store; name a store made by `ctrobust ingest`")

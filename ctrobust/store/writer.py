"""Slices into a store, one at a time; the same slices give the same bytes."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ctrobust.core.ahead import ahead
from ctrobust.core.errors import UserError
from ctrobust.core.files import replacing
from ctrobust.core.records import SliceRecord
from ctrobust.core.units import PADDING_HU
from ctrobust.store import schema
from ctrobust.store.packing import FILTER, pack

# Fixed, so that a newer HDF5 library does not choose another layout for the same slices.
FORMAT = ("earliest", "v110")

Described = list[tuple[str, str, float, tuple[float, float], str]]


def write_store(
    path: Path,
    records: Iterable[SliceRecord],
    *,
    onto: Path | None = None,
    key_id: str = "",
    workers: int = 1,
) -> int:
    """Write a store beside `path` and move it into place once complete; returns the number of slices.

    onto: a store to begin with, whose slices keep their places; `path` itself to add to it. key_id: which key the
    pseudonyms are of. workers: threads that compress; the bytes do not depend on it. Holds one image at a time, and two
    for each of several workers. Raises ValueError where there is no record, or one that a store cannot hold (another
    shape or dtype than the first, not finite, below −1024); UserError where the disk refuses.
    """
    try:
        with replacing(path) as part:
            if onto is not None:
                shutil.copyfile(onto, part)
            with h5py.File(part, "w" if onto is None else "r+", libver=FORMAT) as store:
                store.attrs[schema.SCHEMA_ATTRIBUTE] = schema.SCHEMA
                store.attrs[schema.CREATED_BY_ATTRIBUTE] = schema.CREATED_BY
                if key_id:
                    store.attrs[schema.KEY_ID_ATTRIBUTE] = key_id
                return _write_slices(store, records, workers)
    except OSError as error:
        raise UserError(
            f"{path}: the store cannot be written ({error.strerror or error}); check the folder and the disk"
        ) from error


def _write_slices(store: Any, records: Iterable[SliceRecord], workers: int) -> int:
    images, described = store.get(schema.IMAGE), _described(store)
    shape = images.shape[1:] if images is not None else ()
    for index, (record, chunk) in enumerate(ahead(_packed, records, workers), len(described)):
        if images is None:
            images, shape = _image_dataset(store, record.image_hu), record.image_hu.shape
        _check_shape(record.image_hu, shape)
        # By its id: `resize` makes and drops objects in whose callbacks a signal's exception would be lost.
        images.id.set_extent((index + 1, *shape))
        images.id.write_direct_chunk((index, 0, 0), chunk)
        described.append(
            (record.patient, record.series, record.position_mm, record.pixel_mm, record.source_sha256)
        )
    if not described:
        raise ValueError("records: no slice to write")
    for name, column in zip(schema.COLUMNS, zip(*described, strict=True), strict=True):
        # Fixed-length text: HDF5's variable strings live in a heap that every reader has to chase.
        values = np.array(column, dtype="S" if isinstance(column[0], (str, bytes)) else np.float64)
        store.pop(name, None)
        store.create_dataset(name, data=values, track_times=False)
    store.attrs[schema.COLUMNS_SHA256_ATTRIBUTE] = schema.columns_sha256(store)
    return len(described)


def _described(store: Any) -> Described:
    """What the columns say of the slices that are there already."""
    if schema.IMAGE not in store:
        return []
    return list(zip(*(store[name][:].tolist() for name in schema.COLUMNS), strict=True))


def _image_dataset(store: Any, first: NDArray[np.float32]) -> Any:
    return store.create_dataset(
        schema.IMAGE,
        shape=(0, *first.shape),
        maxshape=(None, *first.shape),
        chunks=(1, *first.shape),
        dtype=np.float32,
        track_times=False,
        **FILTER,
    )


def _packed(record: SliceRecord) -> tuple[SliceRecord, bytes]:
    """What may be done in a thread of its own."""
    image_hu = record.image_hu
    if not (np.isfinite(image_hu).all() and image_hu.min() >= PADDING_HU):
        raise ValueError(f"image_hu: values that are not finite, or below {PADDING_HU:g} HU")
    return record, pack(image_hu)


def _check_shape(image_hu: NDArray[np.float32], shape: tuple[int, ...]) -> None:
    if image_hu.ndim != 2 or image_hu.shape != shape or image_hu.dtype != np.float32:
        raise ValueError(f"image_hu: {image_hu.dtype} {image_hu.shape} found, float32 {shape} needed")

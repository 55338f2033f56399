"""The chunk of a slice: HDF5 and we make the same of it, and stores that are filtered otherwise are read too."""

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ctrobust.store import Store, schema, write_store
from ctrobust.store.packing import is_packed, pack, unpack

IMAGES = arrays(
    np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.floats(-1024, 2e4, width=32)
)


@given(IMAGES)
def test_there_and_back(image):
    np.testing.assert_array_equal(unpack(pack(image), image.shape), image)


@given(IMAGES, st.data())
def test_a_chunk_of_another_length_is_refused(image, data):
    chunk = pack(image)
    rows, columns = image.shape
    for wrong in (chunk[: data.draw(st.integers(0, len(chunk) - 1))], pack(np.vstack([image, image]))):
        with pytest.raises(OSError):
            unpack(wrong, (rows, columns))
    with pytest.raises(OSError):
        unpack(chunk, (rows + 1, columns))


def test_hdf5_reads_what_we_packed(tmp_path, slices):
    given_slices = slices("aab", 24)
    write_store(tmp_path / "a.h5", given_slices)
    with h5py.File(tmp_path / "a.h5") as file:
        assert is_packed(file[schema.IMAGE])
        for index, record in enumerate(given_slices):
            np.testing.assert_array_equal(file[schema.IMAGE][index], record.image_hu)


@pytest.mark.parametrize(
    "storage",
    [
        {"chunks": (1, 24, 24), "compression": "gzip", "shuffle": True},
        {"chunks": (1, 24, 24), "compression": "gzip"},
        {"chunks": (1, 24, 24), "compression": "lzf", "shuffle": True},
        {"chunks": (2, 12, 24), "compression": "gzip", "shuffle": True},
        {"chunks": (1, 24, 24)},
        {},
    ],
    ids=str,
)
def test_a_store_filtered_otherwise_is_read(tmp_path, slices, storage):
    path, given_slices = tmp_path / "a.h5", slices("aab", 24)
    write_store(path, given_slices)
    with h5py.File(path, "r+") as file:
        del file[schema.IMAGE]
        images = np.stack([record.image_hu for record in given_slices])
        file.create_dataset(schema.IMAGE, data=images, **storage)
    with Store(path) as store:
        for index, record in enumerate(given_slices):
            np.testing.assert_array_equal(store.image(index), record.image_hu)


def test_a_chunk_that_hdf5_left_as_it_was_is_read(tmp_path, slices):
    """HDF5 may skip a filter for a chunk, and says so in a mask."""
    path, (record,) = tmp_path / "a.h5", slices("a", 24)
    write_store(path, [record])
    with h5py.File(path, "r+") as file:
        file[schema.IMAGE].id.write_direct_chunk((0, 0, 0), record.image_hu.tobytes(), filter_mask=3)
    np.testing.assert_array_equal(Store(path).image(0), record.image_hu)

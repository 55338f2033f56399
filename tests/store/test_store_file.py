"""The HDF5 file: what goes in comes out, the same bytes twice, and a plain line for every other file."""

import multiprocessing
import pickle
import re
import time
import tracemalloc
from dataclasses import replace

import h5py
import numpy as np
import pytest

from ctrobust import __version__
from ctrobust.core.errors import UserError
from ctrobust.core.files import sha256_of
from ctrobust.store import Store, schema, write_store


def test_what_goes_in_comes_out(tmp_path, slices):
    given = slices("aabbb")
    assert write_store(tmp_path / "a.h5", given) == 5
    with Store(tmp_path / "a.h5") as store:
        assert (len(store), store.image_shape) == (5, (16, 16))
        assert store.patients == tuple(record.patient for record in given)
        assert store.series == tuple(record.series for record in given)
        assert store.source_sha256 == tuple(record.source_sha256 for record in given)
        np.testing.assert_array_equal(store.position_mm, [0, 2.5, 5, 7.5, 10])
        np.testing.assert_array_equal(store.pixel_mm, [[0.5, 0.625]] * 5)
        assert store.sha256 == sha256_of(tmp_path / "a.h5")
        for i, record in enumerate(given):
            assert store.image(i).dtype == np.float32
            np.testing.assert_array_equal(store.image(i), record.image_hu)
        for outside in (-1, 5):
            with pytest.raises(IndexError):
                store.image(outside)


def test_the_file_is_the_contracts(tmp_path, slices):
    write_store(tmp_path / "a.h5", slices("ab"))
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["/slices/image"].chunks == (1, 16, 16)
        assert set(file["slices"]) == {
            "image", "patient", "series", "position_mm", "pixel_mm", "source_sha256",
        }  # fmt: skip
        assert file.attrs["schema"] == 1
        assert file.attrs["created_by"] == f"ctrobust {__version__}"


def test_the_bytes_do_not_depend_on_the_workers(tmp_path, slices):
    written = []
    for workers in (1, 2, 5):
        write_store(tmp_path / "a.h5", slices("aabbccdde"), workers=workers)
        written.append((tmp_path / "a.h5").read_bytes())
    assert written[0] == written[1] == written[2]


def test_two_writes_give_the_same_bytes(tmp_path, slices):
    write_store(tmp_path / "a.h5", slices("aabb"))
    time.sleep(1.1)  # HDF5 counts its times in seconds
    write_store(tmp_path / "b.h5", slices("aabb"))
    assert sha256_of(tmp_path / "a.h5") == sha256_of(tmp_path / "b.h5")


def test_memory_does_not_grow_with_the_slices(tmp_path, slices):
    def peak(count):
        (one,) = slices("a", 256)
        tracemalloc.start()
        stream = (replace(one, image_hu=one.image_hu + np.float32(i)) for i in range(count))
        write_store(tmp_path / f"{count}.h5", stream)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(2)
    assert peak(40) < peak(5) + one_slice(256)


def one_slice(side):
    return 4 * side * side


@pytest.mark.parametrize(
    "spoil",
    [
        lambda record: replace(record, image_hu=record.image_hu[:8]),
        lambda record: replace(record, image_hu=record.image_hu.astype(np.float64)),
        lambda record: replace(record, image_hu=record.image_hu * np.float32(np.nan)),
        lambda record: replace(record, image_hu=record.image_hu - np.float32(3000)),
    ],
)
def test_what_a_store_cannot_hold_leaves_nothing(tmp_path, slices, spoil):
    first, second = slices("ab")
    with pytest.raises(ValueError, match="image_hu"):
        write_store(tmp_path / "a.h5", [first, spoil(second)])
    with pytest.raises(ValueError, match="no slice"):
        write_store(tmp_path / "a.h5", [])
    assert list(tmp_path.iterdir()) == []


def _sum_in_worker(store):
    return float(store.image(1).sum())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_open_the_file_for_themselves(store_of, method):
    store = store_of("aab")
    here = _sum_in_worker(store)  # the parent's handle is open before the fork
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(_sum_in_worker, [store] * 4) == [here] * 4
    assert _sum_in_worker(store) == here


def _answer(store, handle, queue):
    queue.put((float(store.image(1).sum()), store._images is handle))


def test_a_fork_leaves_the_parents_handle_alone(store_of):
    store = store_of("aab")
    here = _sum_in_worker(store)
    fork = multiprocessing.get_context("fork")
    queue = fork.SimpleQueue()
    child = fork.Process(target=_answer, args=(store, store._images, queue))
    child.start()
    assert queue.get() == (here, False)
    child.join()


def test_a_copy_reads_from_any_folder(tmp_path, store_of, monkeypatch):
    store_of("ab")
    monkeypatch.chdir(tmp_path)
    content = pickle.dumps(Store("ab.h5"))
    monkeypatch.chdir("/")
    assert pickle.loads(content).image(1).shape == (16, 16)


def _missing(path):
    path.unlink()


def _folder(path):
    path.unlink()
    path.mkdir()


def _text(path):
    path.write_text("not HDF5")


def _truncated(path):
    path.write_bytes(path.read_bytes()[:-500])


def _other_hdf5(path):
    with h5py.File(path, "w") as file:
        file["data"] = [1, 2]


def _without_a_column(path):
    with h5py.File(path, "a") as file:
        del file[schema.PIXEL_MM]


def _short_column(path):
    with h5py.File(path, "a") as file:
        del file[schema.PATIENT]
        file[schema.PATIENT] = np.array([b"p"])


def _newer(path):
    with h5py.File(path, "a") as file:
        file.attrs["schema"] = schema.SCHEMA + 1


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (_missing, "no such store; `ctrobust ingest"),
        (_folder, r"cannot be read \(Is a directory\)"),
        (_text, "not an HDF5 file"),
        (_truncated, "the file is truncated"),
        (_other_hdf5, "HDF5, but not a ctrobust store"),
        (_without_a_column, "HDF5, but not a ctrobust store"),
        (_short_column, "HDF5, but not a ctrobust store"),
        (_newer, "schema 2, written by ctrobust .*upgrade"),
    ],
)
def test_every_other_file_has_its_own_line(tmp_path, slices, spoil, complaint):
    path = tmp_path / "a.h5"
    write_store(path, slices("ab"))
    spoil(path)
    with pytest.raises(UserError) as caught:
        Store(path)
    assert re.match(f"{re.escape(str(path))}: {complaint}", str(caught.value))


def test_a_flipped_bit_in_an_image_is_found(tmp_path, slices):
    path = tmp_path / "a.h5"
    write_store(path, slices("ab", 64))
    with h5py.File(path) as file:
        chunk = file[schema.IMAGE].id.get_chunk_info(1)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + chunk.size // 2] ^= 1
    path.write_bytes(content)
    store = Store(path)
    store.image(0)
    with pytest.raises(UserError, match="slice 1 cannot be read, the file is damaged"):
        store.image(1)


def test_slices_are_added_and_nothing_else_changes(tmp_path, slices):
    old, new = slices("aab"), slices("xyyyyyyyyyyyyy")
    path = tmp_path / "a.h5"
    write_store(path, old)
    new = [replace(record, series="s-a-longer-name") for record in new]
    assert write_store(path, new, onto=path) == 17
    write_store(tmp_path / "whole.h5", [*old, *new])
    with Store(path) as store, Store(tmp_path / "whole.h5") as whole:
        for name in ("patients", "series", "source_sha256"):
            assert getattr(store, name) == getattr(whole, name)
        np.testing.assert_array_equal(store.position_mm, whole.position_mm)
        np.testing.assert_array_equal(store.pixel_mm, whole.pixel_mm)
        for i in range(17):
            np.testing.assert_array_equal(store.image(i), whole.image(i))


def test_adding_what_does_not_fit_leaves_the_store_as_it_was(tmp_path, slices):
    path = tmp_path / "a.h5"
    write_store(path, slices("aab"))
    before = path.read_bytes()
    for wrong in (slices("c", 8), [replace(slices("c")[0], image_hu=np.zeros(3, np.float32))]):
        with pytest.raises(ValueError, match="image_hu"):
            write_store(path, [*slices("d"), *wrong], onto=path)
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]

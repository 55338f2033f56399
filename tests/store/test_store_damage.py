"""A store that a disk or a copy has damaged: one plain line, or the slices as they were; never others."""

import random
from pathlib import Path

import h5py
import numpy as np
import pytest

from ctrobust.core.errors import UserError
from ctrobust.store import Store, write_store


def spoilt(content: bytes, seed: int) -> bytes:
    """One bit turned, twenty bytes overwritten, or the end cut off."""
    draw, spoilt = random.Random(seed), bytearray(content)
    match seed % 3:
        case 0:
            spoilt[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        case 1:
            for _ in range(20):
                spoilt[draw.randrange(len(content))] = draw.randrange(256)
        case _:
            del spoilt[draw.randrange(len(content)) :]
    return bytes(spoilt)


def everything(store: Store) -> list[object]:
    return [store.patients, store.series, store.source_sha256, store.position_mm.tobytes(),
            store.pixel_mm.tobytes(), *(store.image(index).tobytes() for index in range(len(store)))]  # fmt: skip


# From 41 on: at 40 HDF5 itself searches a damaged heap for seven seconds before it gives up.
@pytest.mark.parametrize("seeds", [range(41, 161), pytest.param(range(161, 3000), marks=pytest.mark.soak)])
def test_damage_is_said_or_does_no_harm(tmp_path, slices, seeds):
    path = tmp_path / "a.h5"
    write_store(path, slices("aabbbc", 24))
    content = path.read_bytes()
    with Store(path) as store:
        whole = everything(store)
    told = [what_is_said(path, spoilt(content, seed), whole) for seed in seeds]
    assert [line for line in told if line and not line.startswith(f"{path}: ")] == []
    assert sum(map(bool, told)) > 0.6 * len(seeds)


def what_is_said(path: Path, content: bytes, whole: list[object]) -> str:
    """Of a file with this content; nothing where its slices are `whole` all the same."""
    path.write_bytes(content)
    try:
        with Store(path) as store:
            return "" if everything(store) == whole else "other slices than were written"
    except UserError as error:
        return str(error)


def test_a_slice_that_was_never_written_is_damage(tmp_path, slices):
    path = tmp_path / "a.h5"
    write_store(path, slices("ab"))
    with h5py.File(path, "r+") as file:
        images = file["slices/image"]
        kept = images[0]
        options = {"chunks": images.chunks, "compression": "gzip", "shuffle": True}
        del file["slices/image"]
        file.create_dataset("slices/image", shape=(2, *kept.shape), dtype=np.float32, **options)[0] = kept
    with Store(path) as store:
        np.testing.assert_array_equal(store.image(0), kept)
        with pytest.raises(UserError, match="slice 1 cannot be read"):
            store.image(1)

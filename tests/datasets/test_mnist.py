"""MNIST: IDX files byte for byte, packed or not; the parts; and every way a file can be wrong."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ctrobust_datasets.mnist import digits, labels
from ctrobust_datasets.mnist.idx import read_idx
from hypothesis import given
from hypothesis import strategies as st

from ctrobust.core.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 28, 28)).astype(np.uint8)
LABELS = (np.arange(12) % 10).astype(np.uint8)


def idx(array: np.ndarray, code: int = 8) -> bytes:
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write(folder: Path, stem: str, dot: str = "-", packed: bool = True) -> None:
    for what, array in (("images", IMAGES), ("labels", LABELS)):
        content, end = idx(array), ".gz" if packed else ""
        path = folder / f"{stem}-{what}{dot}idx{array.ndim}-ubyte{end}"
        path.write_bytes(gzip.compress(content) if packed else content)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("dot", ["-", "."])
def test_levels_become_shares_and_parts_are_disjoint(tmp_path: Path, dot: str, packed: bool) -> None:
    write(tmp_path, "train", dot, packed)
    write(tmp_path, "t10k", dot, packed)
    expected = (IMAGES / np.float64(255)).astype(np.float32)
    parts = {part: digits(tmp_path, part) for part in ("train", "val", "test")}
    assert parts["test"].dtype == np.float32
    assert np.array_equal(parts["test"], expected)
    assert np.array_equal(np.concatenate([parts["train"], parts["val"]]), expected)
    assert len(parts["val"]) == 2
    assert np.array_equal(labels(tmp_path, "val"), LABELS[10:])
    assert np.array_equal(labels(tmp_path, "train"), LABELS[:10])


def test_the_shared_digits_are_read(shared: Callable[[str], Path]) -> None:
    folder = shared("mnist")
    test, train = digits(folder, "test"), digits(folder, "train")
    assert test.shape == (10_000, 28, 28)
    assert len(train) + len(digits(folder, "val")) == 10_000
    assert (test.min(), test.max()) == (0, 1)
    assert labels(folder, "test")[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def test_the_whole_training_set_goes_before_a_tenth_of_it(tmp_path: Path) -> None:
    write(tmp_path, "train10k")
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(IMAGES[:6]))
    assert len(digits(tmp_path, "train")) == 5


@pytest.mark.parametrize(
    ("code", "kind"), [(8, "u1"), (9, "i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")]
)
@given(shape=st.lists(st.integers(0, 4), min_size=1, max_size=4))
def test_every_type_of_idx(
    tmp_path_factory: pytest.TempPathFactory, code: int, kind: str, shape: list[int]
) -> None:
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(kind)
    path = tmp_path_factory.mktemp("idx") / "a"
    path.write_bytes(idx(array, code))
    read = read_idx(path)
    assert np.array_equal(read, array)
    assert read.dtype.isnative


WHOLE = idx(IMAGES)
SPOILED = {
    "cut": WHOLE[:-1],
    "longer": WHOLE + b"\0",
    "no magic": b"PNG!" + WHOLE[4:],
    "unknown type": b"\0\0\x0a\3" + WHOLE[4:],
    "header cut": WHOLE[:10],
    "empty": b"",
    "gzip cut": gzip.compress(WHOLE)[:-20],
    "gzip spoiled": gzip.compress(WHOLE)[:100] + b"\xff\xff\xff" + gzip.compress(WHOLE)[103:],
    "promising": b"\0\0\x08\3" + struct.pack(">3I", 2**31, 2**31, 2**31) + WHOLE[16:],
    "labels": idx(LABELS),
    "none": idx(IMAGES[:0]),
    "wide": idx(IMAGES.astype(">i4"), 12),
}


@pytest.mark.parametrize("how", SPOILED)
def test_a_wrong_file_is_named(tmp_path: Path, how: str) -> None:
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(SPOILED[how])
    with pytest.raises(
        UserError, match=r"t10k-images-idx3-ubyte\.gz: .*(download it again|name one such as)"
    ):
        digits(tmp_path, "test")


def test_missing_files_parts_and_labels_of_other_images(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no train-images-idx3-ubyte"):
        digits(tmp_path, "train")
    with pytest.raises(UserError, match="'eval'"):
        digits(tmp_path, "eval")
    write(tmp_path, "t10k")
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(idx(LABELS[:-1]))
    with pytest.raises(UserError, match="for 12 images"):
        labels(tmp_path, "test")

"""Pictures as a store: parts in order, one hash for all their bytes, groups by photograph, sizes held to."""

import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ctrobust.core.errors import UserError
from ctrobust.pictures import open_pictures
from ctrobust.store.pictures import PictureDataset, PictureStore
from ctrobust.store.split import read_split, write_split


def write_digits(folder: Path, train: int = 12, test: int = 4, size: int = 28) -> Path:
    """Files of MNIST's layout; picture i of a part is all of the grey level i."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, count in (("train", train), ("t10k", test)):
        images = np.repeat(np.arange(count, dtype=np.uint8), size * size)
        header = struct.pack(">4BIII", 0, 0, 8, 3, count, size, size)
        (folder / f"{stem}-images-idx3-ubyte.gz").write_bytes(
            gzip.compress(header + images.tobytes(), mtime=0)
        )
    return folder


def write_photographs(folder: Path) -> Path:
    """Two photographs to train on, one for each other part; their red tells the patch."""
    for part, sizes in {"train": ((40, 70), (32, 32)), "val": ((33, 34),), "test": ((64, 32),)}.items():
        (folder / part).mkdir(parents=True)
        for number, (height, width) in enumerate(sizes):
            stored = np.zeros((height, width, 3), np.uint8)
            stored[..., 0] = np.arange(width)[None]
            stored[..., 1] = np.arange(height)[:, None]
            Image.fromarray(stored).save(folder / part / f"{number}.png")
    return folder


@pytest.fixture
def digits(tmp_path: Path) -> PictureStore:
    return open_pictures("mnist", write_digits(tmp_path / "mnist"), 28)


def test_parts_follow_one_another_as_published(digits: PictureStore) -> None:
    assert (len(digits), digits.channels, digits.image_shape) == (16, 1, (28, 28))
    split = digits.published_split()
    assert (split.by, split.store_sha256) == ("list", digits.sha256)
    assert (len(split.train), len(split.val), len(split.eval)) == (10, 2, 4)
    assert split.train + split.val + split.eval == tuple(range(16))
    levels = [float(digits.image(i).max()) * 255 for i in range(16)]
    assert levels == pytest.approx([*range(12), 0, 1, 2, 3])
    assert len(set(digits.patients)) == len(set(digits.source_sha256)) == 16
    with pytest.raises(IndexError, match="there are 16"):
        digits.image(16)


@pytest.mark.parametrize("test", [(14, 56), (32, 32)], ids=["as many pixels", "more"])
def test_parts_of_different_sizes_are_refused(tmp_path: Path, test: tuple[int, int]) -> None:
    folder = write_digits(tmp_path / "mnist")
    header = struct.pack(">4BIII", 0, 0, 8, 3, 2, *test)
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + bytes(2 * test[0] * test[1])))
    with pytest.raises(UserError, match=rf"mnist: .*28 × 28, {test[0]} × {test[1]} .*one size"):
        open_pictures("mnist", folder, 28)


def test_what_is_not_square_is_refused_as_such(tmp_path: Path) -> None:
    for stem in ("train", "t10k"):
        header = struct.pack(">4BIII", 0, 0, 8, 3, 12, 28, 32)
        (tmp_path / f"{stem}-images-idx3-ubyte").write_bytes(header + bytes(12 * 28 * 32))
    with pytest.raises(UserError, match="28 × 32; only square"):
        open_pictures("mnist", tmp_path, 28)


def test_the_data_set_yields_pictures_with_their_index(digits: PictureStore) -> None:
    dataset = pickle.loads(pickle.dumps(PictureDataset(digits, [3, 15])))
    x, index = dataset[1]
    assert (len(dataset), index, x.shape, float(x[0, 0, 0])) == (2, 15, (1, 28, 28), pytest.approx(3 / 255))
    x += 1
    # What is handed out is kept, as slices are; the store itself is not touched.
    assert float(dataset.store.image(15).max()) == pytest.approx(3 / 255)


def test_a_split_is_held_against_the_bytes(digits: PictureStore, tmp_path: Path) -> None:
    write_split(digits.published_split(), tmp_path / "split.json")
    assert read_split(tmp_path / "split.json", digits) == digits.published_split()
    again = open_pictures("mnist", write_digits(tmp_path / "elsewhere"), 28)
    assert again.sha256 == digits.sha256
    other = open_pictures("mnist", write_digits(tmp_path / "other", test=5), 28)
    with pytest.raises(UserError, match="made for another store"):
        read_split(tmp_path / "split.json", other)


def test_patches_of_a_photograph_belong_together(tmp_path: Path) -> None:
    store = open_pictures("patches", write_photographs(tmp_path / "photographs"), 32)
    assert (store.channels, store.image_shape, len(store)) == (3, (32, 32), 6)
    assert store.patients == ("train 0", "train 0", "train 1", "val 0", "test 0", "test 0")
    # 40 × 70 is cut about its middle: rows from 4, columns from 3 and 35.
    corners = [store.image(i)[:2, 0, 0] * 255 for i in (0, 1)]
    np.testing.assert_allclose(corners, [[3, 4], [35, 4]], rtol=1e-6)
    train, judged = (store.published_split().train, store.published_split().eval)
    assert not {store.patients[i] for i in train} & {store.patients[i] for i in judged}


@pytest.mark.parametrize(
    ("layout", "size", "said"),
    [
        ("mnist", 32, "give data.size=28"),
        ("celeba", 64, "list_eval_partition.txt"),
        ("patches", 64, "no photograph"),
    ],
)
def test_another_layout_or_size_is_named(layout: str, size: int, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        open_pictures(layout, write_digits(tmp_path / "mnist"), size)
    with pytest.raises(UserError, match="no such folder"):
        open_pictures(layout, tmp_path / "nowhere", size)


def test_a_photograph_smaller_than_a_patch_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"1\.png: 32 x 32 pixels, less than a patch of 40"):
        open_pictures("patches", write_photographs(tmp_path / "photographs"), 40)

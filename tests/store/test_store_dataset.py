"""x from a store: on the asked grid about the centre, or a crop at a seeded place."""

import multiprocessing
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from ctrobust.core.errors import UserError
from ctrobust.core.grid import regrid
from ctrobust.core.records import SliceRecord
from ctrobust.core.units import relative_from_hu
from ctrobust.store import Store, write_store
from ctrobust.store.dataset import SliceDataset, common_pixel_mm, require_pixel_mm

HEIGHT, WIDTH = 24, 20
SIZES_MM = ((0.5, 0.5), (0.5, 0.5), (0.8, 0.8), (0.5, 0.7))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """24 × 20 pixels, no two alike; two slices of 0.5 mm, one of 0.8, one whose pixels are not square."""
    draw = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("slices") / "s.h5"
    images = [draw.uniform(-1024, 2000, (HEIGHT, WIDTH)).astype(np.float32) for _ in SIZES_MM]
    write_store(
        path,
        [
            SliceRecord(image, f"p-{index}", f"s-{index}", 0.0, mm, f"{index:064x}")
            for index, (image, mm) in enumerate(zip(images, SIZES_MM, strict=True))
        ],
    )
    return Store(path)


def clipped(store: Store, index: int) -> np.ndarray:
    return np.maximum(store.image(index), np.float32(-1000))


def places(crop: torch.Tensor, whole: np.ndarray) -> list[tuple[int, int]]:
    """Where in `whole` the crop stands, pixel for pixel."""
    windows = np.lib.stride_tricks.sliding_window_view(whole, crop.shape[1:])
    return [(int(r), int(c)) for r, c in np.argwhere((windows == crop[0].numpy()).all((2, 3)))]


@given(index=st.integers(0, 3), size=st.integers(1, 40), pixel_mm=st.floats(0.2, 3))
def test_the_middle_is_that_of_the_whole_slice_resampled(store, index, size, pixel_mm):
    x, found = SliceDataset(store, [index], size=size, pixel_mm=pixel_mm)[0]
    grid = (size, size), (pixel_mm, pixel_mm)
    expected = relative_from_hu(regrid(clipped(store, index), SIZES_MM[index], *grid, -1000.0))
    assert (found, x.dtype, x.shape) == (index, torch.float32, (1, size, size))
    np.testing.assert_allclose(x[0], expected, atol=2e-6)
    assert x.min() >= 0


@pytest.mark.parametrize("size", [8, 9, 19, 20])
def test_a_crop_at_the_native_size_is_a_piece_of_the_slice(store, size):
    """Bit for bit, and every place is taken about equally often."""
    whole = relative_from_hu(clipped(store, 1))
    dataset = SliceDataset(store, [0, 1], size=size, pixel_mm=0.5)
    seen = [places(dataset[1, seed][0], whole) for seed in range(400)]
    assert all(len(found) == 1 for found in seen)
    for axis, side in enumerate((HEIGHT, WIDTH)):
        counts = np.bincount([found[0][axis] for found in seen], minlength=side - size + 1)
        assert len(counts) == side - size + 1
        expected = 400 / len(counts)
        assert np.abs(counts - expected).max() <= 5 * np.sqrt(expected)


def test_the_middle_at_the_native_size_is_exact_where_there_is_one(store):
    x, _ = SliceDataset(store, [1], size=10, pixel_mm=0.5)[0]
    assert places(x, relative_from_hu(clipped(store, 1))) == [(7, 5)]


@given(
    index=st.integers(0, 3),
    size=st.integers(1, 40),
    pixel_mm=st.floats(0.2, 3),
    seed=st.integers(0, 2**63 - 1),
)
def test_a_crop_lies_within_the_slice_as_far_as_it_can(store, index, size, pixel_mm, seed):
    """Its pixels that are not air are those that the slice, at its own pixel size, has room for."""
    dataset = SliceDataset(store, [index], size=size, pixel_mm=pixel_mm)
    ones = SliceDataset(_Ones(store), [index], size=size, pixel_mm=pixel_mm)
    (covered, _), (middle, _) = ones[0, seed], ones[0]
    np.testing.assert_allclose(covered, middle, atol=1e-5)
    assert torch.equal(dataset[0, seed][0], dataset[0, seed][0])
    sides = np.array([HEIGHT, WIDTH]) * SIZES_MM[index]
    if (size * pixel_mm >= sides).all():
        assert torch.equal(dataset[0, seed][0], dataset[0][0])


class _Ones:
    """A store of water, which shows what a window covers."""

    def __init__(self, store: Store) -> None:
        self.pixel_mm, self.image_shape = store.pixel_mm, store.image_shape

    def image(self, index: int) -> np.ndarray:
        return np.zeros(self.image_shape, np.float32)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_read_what_this_process_reads(store, method):
    dataset = SliceDataset(store, [2, 0, 1], size=12, pixel_mm=0.5)
    items = [[(0, 5), (1, 6)], [(2, 7), (0, 8)], [(1, 6)]]
    here = [dataset[item][0] for batch in items for item in batch]
    dataset.store.image(0)  # an open handle, which a fork would inherit
    loader = DataLoader(
        dataset,
        batch_sampler=items,
        num_workers=2,
        multiprocessing_context=multiprocessing.get_context(method),
    )
    x, indices = zip(*loader, strict=True)
    assert torch.equal(torch.cat(x), torch.stack(here))
    assert torch.cat(indices).tolist() == [2, 0, 1, 2, 0]


def test_slices_are_kept_as_they_were_and_crops_are_not(store):
    dataset = SliceDataset(store, [0, 1], size=12, pixel_mm=0.5)
    first = dataset[1][0]
    assert dataset[1, 3][0] is not dataset[1, 3][0]
    assert dataset[1][0] is first
    dataset.in_memory = False
    fresh = SliceDataset(store, [0, 1], size=12, pixel_mm=0.5)
    fresh.in_memory = False
    assert torch.equal(fresh[1][0], first)
    assert fresh[1][0] is not fresh[1][0]
    assert torch.equal(pickle.loads(pickle.dumps(fresh))[1][0], first)


def test_the_pixel_size_of_a_run(store):
    """Whole slices of 12.0, 12.0, 19.2 and 14.0 mm; their own pixels are 0.5, 0.5, 0.8 and 0.7 mm."""
    assert common_pixel_mm(store, [0, 1, 2], 16) == pytest.approx(12 / 16)
    assert common_pixel_mm(store, [0, 2, 3], 16) == pytest.approx(14 / 16)
    assert common_pixel_mm(store, [0, 1, 2], 16, crop=True) == 0.5
    assert common_pixel_mm(store, [0, 2, 3], 16, crop=True) == pytest.approx(0.7)


def test_resampling_is_refused_where_it_would_happen(store):
    require_pixel_mm(store, [0, 1], 16, 0.5, crop=True)
    for indices, pixel_mm, crop in (([0, 2], 0.5, True), ([3], 0.5, True), ([0], 0.5, False)):
        with pytest.raises(UserError, match=r"data\.resample is false"):
            require_pixel_mm(store, indices, 16, pixel_mm, crop=crop)

"""Does loading keep up with h5py: slices/s of the store, the data set and torch's DataLoader with 0, 1 and 2 workers?

    python benchmarks/loading.py STORE.h5

The slices of the most common pixel size are read whole, then cropped to 128 x 128, by h5py alone, by `Store.image`,
by `SliceDataset` and by a DataLoader over it in batches of 8. The bound is what no reader of these chunks can do
without: fetch them, decompress (zlib as HDF5 has it, and ISA-L) and put the bytes in order. All take turns in the
same rounds, and the median round of each counts; starting the workers and filling their queues is not counted. One
thread a process.
"""

import argparse
import time
import zlib
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from isal import isal_zlib
from torch.utils.data import DataLoader

from ctrobust.store import Store
from ctrobust.store.dataset import SliceDataset

ROUNDS = 7
EPOCHS = 5
BATCH = 8
CROP = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    path = parser.parse_args().store
    torch.set_num_threads(1)
    with Store(path) as store, h5py.File(path) as file:
        indices, pixel_mm = most_common(store)
        images = file["slices/image"]
        ways = {
            "bound: fetch, zlib, order": lambda: map(partial(inflated, images, zlib.decompress), indices),
            "bound: fetch, ISA-L, order": lambda: map(
                partial(inflated, images, isal_zlib.decompress), indices
            ),
            "h5py alone": lambda: map(images.__getitem__, indices),
            "Store.image": lambda: map(store.image, indices),
        }
        positions = range(len(indices))
        whole = SliceDataset(store, indices, size=store.image_shape[0], pixel_mm=pixel_mm)
        print(f"{len(indices)} slices of {store.image_shape}, whole")
        compare(ways, whole, list(positions))
        print(f"\nthe same, cropped to {CROP} x {CROP}")
        compare(ways, SliceDataset(store, indices, size=CROP, pixel_mm=pixel_mm), [(i, i) for i in positions])


def most_common(store: Store) -> tuple[list[int], float]:
    """The slices that need no resampling on one grid, and its pixel size."""
    sizes, counts = np.unique(store.pixel_mm, axis=0, return_counts=True)
    common = sizes[counts.argmax()]
    return [i for i, own in enumerate(store.pixel_mm) if np.array_equal(own, common)], float(common[0])


def inflated(images: Any, decompress: Callable[[bytes], bytes], index: int) -> np.ndarray:
    planes = np.frombuffer(decompress(images.id.read_direct_chunk((index, 0, 0))[1]), np.uint8).reshape(4, -1)
    return np.stack(tuple(planes), axis=-1).view("<f4").reshape(images.shape[1:])


def compare(ways: dict[str, Callable[[], Iterable[Any]]], dataset: SliceDataset, items: list[Any]) -> None:
    dataset.in_memory = False
    singly = ways | {"SliceDataset": lambda: map(dataset.__getitem__, items)}
    rates: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, way in singly.items():
            rates.setdefault(name, []).append(rate(way(), len(items)))
        for workers in (0, 1, 2):
            rates.setdefault(f"DataLoader, {workers} workers", []).append(loading(dataset, items, workers))
    bare = np.median(rates["h5py alone"])
    for name, found in rates.items():
        middle = np.median(found)
        spread = f"{min(found):6.0f} to {max(found):.0f}"
        print(f"{name:28}{middle:6.0f} slices/s{spread:>16}{middle / bare:8.0%} of h5py alone")


def loading(dataset: SliceDataset, items: list[Any], workers: int) -> float:
    batches = [items[first : first + BATCH] for first in range(0, len(items) - BATCH + 1, BATCH)] * EPOCHS
    running = iter(DataLoader(dataset, batch_sampler=batches, num_workers=workers))
    # Two batches a worker are fetched ahead: counted, they would be had for nothing.
    ahead = sum(1 for _ in islice(running, 2 * workers))
    return rate(running, BATCH * (len(batches) - ahead))


def rate(slices: Iterable[Any], count: int) -> float:
    begin = time.perf_counter()
    for _ in slices:
        pass
    return count / (time.perf_counter() - begin)


if __name__ == "__main__":
    main()

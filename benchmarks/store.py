"""How should a slice be stored, and how much of h5py's bare speed is left when a training run reads it?

    python benchmarks/store.py STORE.h5

Part 1 writes the store's slices with each filter, and reads them again; hdf5plugin (Blosc) is left out where it is
not installed. Part 2 reads the store in one process by h5py alone, by `Store.image` and by `SliceDataset` on the
slices' own grid, in turns; what is printed are ratios of the fastest rounds, since the machine is not ours alone.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np

from ctrobust.core.records import SliceRecord
from ctrobust.store import Store, write_store
from ctrobust.store.dataset import SliceDataset

ROUNDS = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    path = parser.parse_args().store
    with Store(path) as store, tempfile.TemporaryDirectory() as scratch:
        compare_filters(store, Path(scratch) / "filtered.h5")
        compare_reading(store)


def compare_filters(store: Store, path: Path) -> None:
    images = [store.image(index) for index in range(len(store))]
    print(f"{'filter':26}{'MB':>7}{'write ms':>10}{'read ms':>9}   a slice")
    for name, options in filters():
        begin = time.perf_counter()
        with h5py.File(path, "w") as file:
            shape, chunks = (len(images), *store.image_shape), (1, *store.image_shape)
            written = file.create_dataset("image", shape, "f4", chunks=chunks, **options)
            for index, image in enumerate(images):
                written[index] = image
        report(name, path, len(images), time.perf_counter() - begin, "image")
    begin = time.perf_counter()
    write_store(path, (SliceRecord(image, "p", "s", 0.0, (1.0, 1.0), "0" * 64) for image in images))
    report("ours: gzip 1 by ISA-L", path, len(images), time.perf_counter() - begin, "slices/image")


def filters() -> Iterator[tuple[str, dict[str, object]]]:
    yield "none", {}
    yield "lzf, shuffle", {"compression": "lzf", "shuffle": True}
    for level in (1, 3):
        yield f"gzip {level}, shuffle", {"compression": "gzip", "compression_opts": level, "shuffle": True}
    try:
        import hdf5plugin
    except ImportError:
        print("Blosc: left out, hdf5plugin is not installed")
        return
    for name, level in (("lz4", 5), ("zstd", 3)):
        chosen = hdf5plugin.Blosc(cname=name, clevel=level, shuffle=hdf5plugin.Blosc.BITSHUFFLE)
        yield f"Blosc {name} {level}, bit shuffle", dict(chosen)


def report(name: str, path: Path, count: int, write_s: float, dataset: str) -> None:
    with h5py.File(path) as file:
        read_s = fastest(lambda: read_all(file[dataset]))
    size = path.stat().st_size / count / 1e6
    print(f"{name:26}{size:7.3f}{1e3 * write_s / count:10.1f}{1e3 * read_s / count:9.2f}")


def compare_reading(store: Store) -> None:
    """On the most common pixel size: those slices need no resampling."""
    sizes, counts = np.unique(store.pixel_mm, axis=0, return_counts=True)
    common = sizes[counts.argmax()]
    indices = [i for i in range(len(store)) if np.array_equal(store.pixel_mm[i], common)]
    dataset = SliceDataset(store, indices, size=store.image_shape[0], pixel_mm=float(common[0]))
    dataset.in_memory = False
    with h5py.File(store.path) as file:
        images = file["slices/image"]
        ways: dict[str, Callable[[], object]] = {
            "h5py alone": lambda: [images[i] for i in indices],
            "Store.image": lambda: [store.image(i) for i in indices],
            "SliceDataset": lambda: [dataset[i] for i in range(len(indices))],
        }
        rounds = [{name: timed(way) for name, way in ways.items()} for _ in range(ROUNDS)]
    best = {name: min(each[name] for each in rounds) for name in ways}
    print(f"\nreading {len(indices)} slices of {store.image_shape}, one process")
    for name, seconds in best.items():
        share = best["h5py alone"] / seconds
        print(f"{name:26}{len(indices) / seconds:8.0f} slices/s{share:8.0%} of h5py alone")


def read_all(images: "h5py.Dataset") -> None:
    for index in range(len(images)):
        images[index]


def timed(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def fastest(call: Callable[[], object]) -> float:
    return min(timed(call) for _ in range(3))


if __name__ == "__main__":
    main()

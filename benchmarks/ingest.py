"""Does ingest keep up with pydicom's bare decode of the same files, and where does the rest of the time go?

    python -m ctrobust_datasets.synthetic TREE --size 512 --patients 24 --slices 40
    python benchmarks/ingest.py TREE

Bare decode is `dcmread` and `pixel_array * RescaleSlope + RescaleIntercept` of the files that ingest takes, in one
process. Ingest, with one and with two workers, does more: it finds the files, makes sure that they are what they seem
and that none is another's copy, takes their checksum, compresses the slices, writes the store and syncs it. Its parts
are timed too, one by one in one thread. All take turns in the same rounds, the fastest of each counts, and the files
are in the page cache.
"""

import argparse
import contextlib
import hashlib
import io
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pydicom

from ctrobust.account import Taken
from ctrobust.ingest import Pseudonyms, Scan, find_files, scan
from ctrobust.ingest.canvas import Canvas
from ctrobust.ingest.duplicates import picture_of
from ctrobust.ingest.hounsfield import hounsfield
from ctrobust.ingest.slices import Reader
from ctrobust.pipeline import IngestOptions, ingest_to_store
from ctrobust.store.packing import pack

ROUNDS = 5
WORKERS = (1, 2)
PSEUDONYMS = Pseudonyms(bytes(32))
BARE = "pydicom alone"
TOO = ("headers, checked", "frames read", "HU")
"""The parts of ingest that bare decode has too."""
MORE = ("files found", "SHA-256", "copies looked for", "compressed")
RESIZED = "(--size, to half as many pixels a side)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as scratch:
        paths = [entry.path for entry in ingested(folder, Path(scratch) / "first.h5", WORKERS[-1])]
        best = fastest(folder, paths, Path(scratch) / "store.h5")
    show(paths, best)
    show_parts(len(paths), best)


def fastest(folder: Path, paths: Sequence[Path], out: Path) -> dict[str, float]:
    """Seconds of each way, and of each part of ingest, in the round that was fastest at it."""
    best: dict[str, float] = {}
    for _ in range(ROUNDS):
        clock = Clock()
        with clock(BARE):
            bare(paths)
        for workers in WORKERS:
            with clock(f"ingest, workers {workers}"):
                ingested(folder, out, workers)
            out.unlink()
        part_by_part(folder, paths, clock)
        best = {name: min(seconds, best.get(name, seconds)) for name, seconds in clock.seconds.items()}
    return best


def bare(paths: Sequence[Path]) -> None:
    for path in paths:
        dataset = pydicom.dcmread(path)
        dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)


def ingested(folder: Path, out: Path, workers: int) -> Sequence[Taken]:
    with contextlib.redirect_stderr(io.StringIO()):
        return ingest_to_store([folder], out, IngestOptions(workers=workers), pseudonyms=PSEUDONYMS).taken


def part_by_part(folder: Path, paths: Sequence[Path], clock: "Clock") -> None:
    """What an ingest with one worker does, each part by itself."""
    with clock("files found"):
        files = find_files([folder]).files
    with clock("headers, checked"):
        headers = scan(files)
    with clock("SHA-256"):
        for path in paths:
            with path.open("rb") as stream:
                hashlib.file_digest(stream, "sha256")
    clock.seconds["headers, checked"] -= clock.seconds["SHA-256"]
    decode(headers, clock)


def decode(headers: Scan, clock: "Clock") -> None:
    reader, smaller = Reader(), Canvas(headers.slices[0].size[0] // 2, None)
    for header in headers.slices:
        with clock("frames read"):
            frame = reader.read(header)
        with clock("HU"):
            image_hu = hounsfield(frame, header.layout, header.rescale)
        with clock("copies looked for"):
            picture_of(header, image_hu)
        with clock("compressed"):
            pack(image_hu)
        with clock(RESIZED):
            smaller.fit(image_hu, header.pixel_mm)
    reader.close()


def show(paths: Sequence[Path], best: dict[str, float]) -> None:
    megabytes = sum(path.stat().st_size for path in paths) / 1e6
    print(f"{len(paths)} slices, {megabytes:.0f} MB\n{'':42}{'MB/s':>7}{'ms a slice':>12}")
    for name in (BARE, *(f"ingest, workers {workers}" for workers in WORKERS)):
        pace, share = megabytes / best[name], best[BARE] / best[name]
        print(f"{name:42}{pace:7.0f}{1e3 * best[name] / len(paths):12.2f}{share:8.0%} of pydicom's pace")


def show_parts(count: int, best: dict[str, float]) -> None:
    whole = best[f"ingest, workers {WORKERS[0]}"]
    parts = {name: best[name] for name in (*TOO, *MORE)}
    parts["written, synced, accounted for"] = max(whole - sum(parts.values()), 0.0)
    print(f"\n{'one worker, by part':42}{'ms a slice':>19}{'share':>8}")
    for name, seconds in parts.items():
        print(f"{name:42}{1e3 * seconds / count:19.2f}{seconds / whole:8.0%}")
    print(f"{RESIZED:42}{1e3 * best[RESIZED] / count:19.2f}")
    too = sum(parts[name] for name in TOO)
    print(f"{'what pydicom does too: ' + ', '.join(TOO):61}{best[BARE] / too:8.0%} of pydicom's pace")


class Clock:
    """Seconds by name."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - begin


if __name__ == "__main__":
    main()

"""Does ingest keep up with pydicom's bare decode of the same files, and where does the rest of the time go?

    python -m ctrobust_datasets.synthetic TREE --size 512 --patients 24 --slices 40
    python benchmarks/ingest.py TREE

Bare decode is `dcmread` and `pixel_array * RescaleSlope + RescaleIntercept` of the files that ingest takes, in one
process. Ingest, with one and with two workers, does more: it finds the files, makes sure that they are what they seem
and that none is another's copy, takes their checksum, compresses the slices, writes the store and syncs it. The same
for some of the files encoded as archives have them: RLE and JPEG 2000 by pydicom, JPEG lossless and JPEG-LS by dcmtk
where that is installed. Then its parts, one by one in one thread. All take turns in the same rounds, the fastest of
each counts, and the files are in the page cache. "CPU" is time on any core: where others use the machine too, it says
more than the clock does. Threads cannot share all of it: pydicom and the decoders hold Python's lock.
"""

import argparse
import contextlib
import hashlib
import io
import shutil
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pydicom
from pydicom.uid import JPEG2000Lossless, RLELossless

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
ENCODED = 80
"""Slices of each encoding: at up to a tenth of a second for each way of reading them."""
PSEUDONYMS = Pseudonyms(bytes(32))
BARE = "pydicom alone"
TOO = ("headers, checked", "frames read", "HU")
"""The parts of ingest that bare decode has too."""
MORE = ("files found", "SHA-256", "copies looked for", "compressed")
RESIZED = "(--size, to half as many pixels a side)"
DCMTK = {"JPEG lossless": "dcmcjpeg", "JPEG-LS": "dcmcjpls"}
PYDICOM = {"RLE": RLELossless, "JPEG 2000": JPEG2000Lossless}

Times = tuple[float, float]
"""Seconds by the clock, and of CPU."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "store.h5"
        paths = taken(folder, out)
        best = fastest(folder, paths, out)
        print(f"{'':16}{'slices':>7}{'MB':>6}  {BARE + ', ms':>20}", end="")
        print("".join(f"{f'workers {workers}: ms':>16}{'CPU':>7}{'':8}" for workers in WORKERS))
        show("as they are", paths, best)
        for name, files in encodings(paths[:ENCODED], Path(scratch)):
            show(name, taken(files, out), fastest(files, taken(files, out), out))
        show_parts(len(paths), best[f"{WORKERS[0]}"][0], parts(folder, paths))


def taken(folder: Path, out: Path) -> list[Path]:
    """The files of which ingest takes slices, one at least."""
    paths = [entry.path for entry in ingested(folder, out, WORKERS[-1])]
    out.unlink()
    return paths


def encodings(paths: Sequence[Path], scratch: Path) -> Iterator[tuple[str, Path]]:
    """The files encoded otherwise, each way in a folder of its own, as far as an encoder is installed."""
    for name in (*PYDICOM, *DCMTK):
        if name in DCMTK and not shutil.which(DCMTK[name]):
            print(f"{name}: no {DCMTK[name]} (dcmtk) to encode with")
            continue
        folder = scratch / name
        folder.mkdir()
        for number, path in enumerate(paths):
            encode(name, path, folder / f"{number}")
        yield name, folder


def encode(name: str, path: Path, out: Path) -> None:
    if name in DCMTK:
        subprocess.run([DCMTK[name], path, out], check=True)
        return
    dataset = pydicom.dcmread(path)
    dataset.compress(PYDICOM[name], generate_instance_uid=False)
    dataset.save_as(out)


def fastest(folder: Path, paths: Sequence[Path], out: Path) -> dict[str, Times]:
    """The times of each way in the round that was fastest at it."""
    ways: dict[str, Callable[[], object]] = {BARE: lambda: bare(paths)}
    ways |= {f"{workers}": partial(ingested, folder, out, workers) for workers in WORKERS}
    best: dict[str, Times] = {}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            way()
            times = time.perf_counter() - wall, time.process_time() - cpu
            best[name] = min(times, best.get(name, times))
            out.unlink(missing_ok=True)
    return best


def bare(paths: Sequence[Path]) -> None:
    for path in paths:
        dataset = pydicom.dcmread(path)
        dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)


def ingested(folder: Path, out: Path, workers: int) -> Sequence[Taken]:
    with contextlib.redirect_stderr(io.StringIO()):
        return ingest_to_store([folder], out, IngestOptions(workers=workers), pseudonyms=PSEUDONYMS).taken


def parts(folder: Path, paths: Sequence[Path]) -> dict[str, float]:
    """Seconds of what an ingest with one worker does, each part by itself, in the round that was fastest at it."""
    best: dict[str, float] = {}
    for _ in range(ROUNDS):
        clock = Clock()
        part_by_part(folder, paths, clock)
        best = {name: min(seconds, best.get(name, seconds)) for name, seconds in clock.seconds.items()}
    return best


def part_by_part(folder: Path, paths: Sequence[Path], clock: "Clock") -> None:
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


def show(name: str, paths: Sequence[Path], best: dict[str, Times]) -> None:
    megabytes, wall = sum(path.stat().st_size for path in paths) / 1e6, best[BARE][0]
    print(f"{name:16}{len(paths):7}{megabytes:6.0f}  {1e3 * wall / len(paths):20.2f}", end="")
    for workers in WORKERS:
        seconds, cpu = best[f"{workers}"]
        ms, cpu_ms = (1e3 * each / len(paths) for each in (seconds, cpu))
        print(f"{ms:16.2f}{cpu_ms:7.2f}{wall / seconds:8.0%}", end="")
    print(flush=True)


def show_parts(count: int, whole: float, best: dict[str, float]) -> None:
    named = {name: best[name] for name in (*TOO, *MORE)}
    named["written, synced, accounted for"] = max(whole - sum(named.values()), 0.0)
    print(f"\n{'as they are, one worker, by part':42}{'ms a slice':>12}{'share':>8}")
    for name, seconds in named.items():
        print(f"{name:42}{1e3 * seconds / count:12.2f}{seconds / whole:8.0%}")
    print(f"{RESIZED:42}{1e3 * best[RESIZED] / count:12.2f}")


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

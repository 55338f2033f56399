"""Hostile input, spoiled by a seed: exit 0 or 2, no traceback, no hang, bounded memory, a sound store afterwards."""

import io
import json
import os
import random
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dicom_files import content_of, ct

from ctrobust.store import Store

Spoil = Callable[[random.Random, bytes, bytes], bytes]

CASES_A_FOLDER = 25
MOST_MEMORY = 6 * 2**30
MOST_SECONDS = 120


def flips(draw: random.Random, content: bytes, _: bytes) -> bytes:
    spoiled = bytearray(content)
    for _ in range(draw.choice([1, 3, 30])):
        # The header is where the structure is.
        end = len(spoiled) if draw.random() < 0.3 else min(len(spoiled), 2000)
        spoiled[draw.randrange(end)] ^= 1 << draw.randrange(8)
    return bytes(spoiled)


def cut(draw: random.Random, content: bytes, _: bytes) -> bytes:
    return content[: draw.randrange(len(content))]


def splice(draw: random.Random, content: bytes, other: bytes) -> bytes:
    return content[: draw.randrange(len(content))] + other[draw.randrange(len(other)) :]


def repeat(draw: random.Random, content: bytes, _: bytes) -> bytes:
    a, b = sorted(draw.randrange(len(content)) for _ in range(2))
    return content[:b] + content[a:b] * draw.choice([1, 5]) + content[b:]


def lengths(draw: random.Random, content: bytes, _: bytes) -> bytes:
    """A length or a number somewhere becomes absurd."""
    spoiled = bytearray(content)
    place = draw.randrange(132, min(len(spoiled), 3000))
    absurd = draw.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFFE, 65535])
    spoiled[place : place + 4] = struct.pack("<I", absurd)
    return bytes(spoiled)


def absurd_element(draw: random.Random, _: bytes, __: bytes) -> bytes:
    odd = {
        "Rows": [0, 1, 65535],
        "Columns": [0, 1, 65535],
        "NumberOfFrames": ["0", "-1", "2147483647", "1e9"],
        "BitsAllocated": [1, 7, 64, 65535],
        "BitsStored": [0, 1, 33],
        "SamplesPerPixel": [0, 3, 65535],
        "PixelSpacing": [[0, 0], ["1e-300", "1e300"], ["nan", "nan"]],
        "RescaleSlope": ["1e308", "-1e308", "nan", "inf", "0"],
        "RescaleIntercept": ["1e308", "nan"],
        "ImagePositionPatient": [["1e300", "1e300", "1e300"], ["nan", "0", "0"], []],
        "ImageOrientationPatient": [[0] * 6, ["1e200"] * 6, ["nan"] * 6],
        "PatientID": ["\n\r\t\x1b[2J", "\udcff" * 3, "A" * 70000],
        "SeriesInstanceUID": ["", "x", "1" * 5000],
        "PixelPaddingValue": [65535, 0],
    }
    keyword = draw.choice(list(odd))
    dataset = ct()
    try:
        setattr(dataset, keyword, draw.choice(odd[keyword]))
        return content_of(dataset)
    except Exception:  # pydicom will not write all of them; those cannot come from it either
        return content_of(ct(Rows=65535, Columns=65535))


def zipped(draw: random.Random, content: bytes, other: bytes) -> bytes:
    stream = io.BytesIO()
    names = ["slice", "../../escape.dcm", "/etc/escape.dcm", "a\nb", "x" * 300, "ünï\udc80", "same", "same"]
    with zipfile.ZipFile(stream, "w", draw.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        for name in draw.sample(names, 4):
            name = name.encode("utf-8", "replace").decode()
            archive.writestr(name, draw.choice([content, other, b"", b"\0" * 2_000_000]))
    return spoiled_or_not(draw, stream.getvalue())


def tarred(draw: random.Random, content: bytes, other: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=draw.choice(["w", "w:gz", "w:bz2", "w:xz"])) as archive:
        for name, kind in (("a", tarfile.REGTYPE), ("../b", tarfile.REGTYPE), ("link", tarfile.SYMTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            member.size = len(content) if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(content))
    return spoiled_or_not(draw, stream.getvalue())


def bomb(draw: random.Random, _: bytes, __: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(3):
            archive.writestr(f"{i}", b"\0" * draw.choice([10_000_000, 60_000_000]))
    inner = stream.getvalue()
    if draw.random() < 0.5:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for i in range(5):
                archive.writestr(f"{i}.zip", inner)
    return stream.getvalue()


def nothing(draw: random.Random, _: bytes, __: bytes) -> bytes:
    return draw.choice([b"", b"\0" * 200, draw.randbytes(3000), b"DICM", b"\0" * 128 + b"DICM"])


def spoiled_or_not(draw: random.Random, content: bytes) -> bytes:
    return flips(draw, content, content) if draw.random() < 0.4 else content


SPOILS: tuple[Spoil, ...] = (
    *(flips, flips, cut, splice, repeat, lengths, lengths, absurd_element),
    *(zipped, tarred, bomb, nothing),
)
NAMES = (
    "plain",
    "with\nnewline",
    "ünï",
    "-rf",
    "x" * 200,
    ".hidden",
    "\udcff\udcfe",
    "a b\t",
    "DICOMDIR",
    "p|q",
)


def originals(folders: list[Path]) -> list[bytes]:
    noise = np.random.default_rng(0).integers(0, 4000, (64, 64)).astype(np.int16)
    made = [
        content_of(ct()),
        content_of(ct(noise, PixelPaddingValue=0)),
        content_of(ct(noise.astype(np.uint16))),
    ]
    real = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
    return made + [path.read_bytes() for path in real if path.stat().st_size < 2_000_000]


def fill(folder: Path, seed: int, sources: list[bytes]) -> None:
    draw = random.Random(seed)
    folder.mkdir(parents=True)
    (folder / "sound").write_bytes(content_of(ct(np.full((64, 64), seed % 4000, np.int16))))
    for i in range(CASES_A_FOLDER):
        content, other = draw.choice(sources), draw.choice(sources)
        spoiled = draw.choice(SPOILS)(draw, content, other)
        name = f"{i}{draw.choice(NAMES)}"
        (folder / os.fsdecode(name.encode("utf-8", "surrogateescape"))).write_bytes(spoiled)
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "nowhere").symlink_to(folder / "absent")
    os.mkfifo(folder / "pipe")


INGEST = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({0}, {0}))
from ctrobust.cli.main import main
sys.exit(main())
"""


def hold(tmp_path: Path, seeds: range, sources: list[bytes]) -> None:
    for seed in seeds:
        folder, out = tmp_path / f"in{seed}", tmp_path / f"{seed}.h5"
        fill(folder, seed, sources)
        done = subprocess.run(
            [sys.executable, "-c", INGEST.format(MOST_MEMORY), "ingest", str(folder), "--out", str(out)],
            capture_output=True,
            timeout=MOST_SECONDS,
            env=os.environ | {"PYTHONIOENCODING": "utf-8:backslashreplace", "OPENBLAS_NUM_THREADS": "1"},
            check=False,
        )
        said = done.stderr.decode("utf-8", "replace")
        # One sound slice is in every folder: something is always taken.
        assert done.returncode == 0, f"seed {seed}: {said[-2000:]}"
        assert "Traceback" not in said, f"seed {seed}: {said[-2000:]}"
        with Store(out) as store:
            for index in range(len(store)):
                image = store.image(index)
                assert np.isfinite(image).all()
                assert image.min() >= -1024
            account = json.loads(out.with_name(f"{seed}.ingest.json").read_text())
            assert len(account["taken"]) == len(store) >= 1
        assert len(account["taken"]) + len(account["refused"]) >= CASES_A_FOLDER
        assert not list(Path("/etc").glob("escape*"))
        assert not list(tmp_path.glob("escape*"))


def test_hostile_files_sampled(tmp_path: Path) -> None:
    """50 of them."""
    hold(tmp_path, range(2), originals([]))


@pytest.mark.soak
def test_hostile_files(tmp_path: Path, shared: Callable[[str], Path]) -> None:
    """2,500 of them, of real files too."""
    hold(tmp_path, range(100, 200), originals([shared("dicom"), shared("ct")]))

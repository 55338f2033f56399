"""A small hospital: a few phantoms as DICOM, ingested once a session."""

import gzip
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from ctrobust_datasets.synthetic import write_dicom

from ctrobust.cli.main import main


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 phantoms of 3 slices at 48×48, by way of `ctrobust ingest`."""
    folder = tmp_path_factory.mktemp("hospital")
    write_dicom(folder / "dicom", patients=8, slices=3, size=48)
    assert main(["ingest", str(folder / "dicom"), "--out", str(folder / "store.h5")]) == 0
    return folder / "store.h5"


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Blots of ink in the layout of MNIST: 36 to train and select, 10 to judge."""
    folder, draw = tmp_path_factory.mktemp("mnist"), np.random.default_rng(0)
    rows, columns = np.mgrid[:28, :28]
    for stem, count in (("train", 36), ("t10k", 10)):
        centres = draw.uniform(8, 20, (count, 2, 1, 1))
        blots = 255 * np.exp(-((rows - centres[:, 0]) ** 2 + (columns - centres[:, 1]) ** 2) / 20)
        header = struct.pack(">4BIII", 0, 0, 8, 3, count, 28, 28)
        content = header + blots.astype(np.uint8).tobytes()
        (folder / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(content, mtime=0))
    return folder


@pytest.fixture(scope="session")
def launch() -> Callable[..., subprocess.Popen[str]]:
    """Start `ctrobust …` as its users do: a process of its own, in that folder, with one thread."""

    def start(*arguments: str | Path, folder: Path, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *before, "-m", "ctrobust.cli", *map(str, arguments)],
            cwd=folder,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def command(
    launch: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> Callable[..., subprocess.Popen[str]]:
    """The same in an empty folder."""
    return partial(launch, folder=tmp_path)

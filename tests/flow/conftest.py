"""A small hospital: a few phantoms as DICOM, ingested once a session."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

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


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start `ctrobust …` as its users do: a process of its own, in an empty folder, with one thread."""

    def start(*arguments: str | Path, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *before, "-m", "ctrobust.cli", *map(str, arguments)],
            cwd=tmp_path,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start

"""Slices without any scanner: records drawn from a seed, and a store of them."""

from pathlib import Path

import numpy as np
import pytest

from ctrobust.core.records import SliceRecord
from ctrobust.store import Store, write_store


def records(patients: str, side: int = 16) -> list[SliceRecord]:
    """One slice a letter: "aab" are two slices of one patient and one of another."""
    draw = np.random.default_rng(0)
    return [
        SliceRecord(
            image_hu=draw.integers(-1024, 2000, (side, side)).astype(np.float32),
            patient=f"p-{letter}",
            series=f"s-{letter}",
            position_mm=2.5 * i,
            pixel_mm=(0.5, 0.625),
            source_sha256=f"{i:064x}",
        )
        for i, letter in enumerate(patients)
    ]


@pytest.fixture
def store_of(tmp_path: Path):
    """`store_of("aab")`: an open store of such slices."""

    def make(patients: str) -> Store:
        path = tmp_path / f"{patients}.h5"
        write_store(path, records(patients))
        return Store(path)

    return make


@pytest.fixture
def slices():
    return records

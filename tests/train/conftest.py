"""A run so small that each method's can be trained in a blink: 12 slices of noise and discs, 9 views of 16×16."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from lightning_fabric import Fabric
from variants import open_small

from ctrobust.core.records import SliceRecord
from ctrobust.experiment import Experiment
from ctrobust.store import write_store

Open = Callable[..., Experiment]


@pytest.fixture(scope="session")
def slices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 6 patients with 2 slices of 20×20 each."""
    draw = np.random.default_rng(0)
    rows, columns = np.mgrid[:20, :20] - 9.5
    path = tmp_path_factory.mktemp("slices") / "store.h5"
    records = []
    for number in range(12):
        disc = np.hypot(rows, columns) < draw.uniform(5, 9)
        image = np.where(disc, draw.uniform(0, 300), -1000) + 40 * disc * draw.standard_normal((20, 20))
        patient = f"p{number // 2}"
        records.append(
            SliceRecord(
                image.astype(np.float32), patient, patient, float(number), (5.0, 5.0), f"{number:064x}"
            )
        )
    write_store(path, records)
    return path


@pytest.fixture
def opened(slices: Path) -> Open:
    """`opened("method=erm", …)`: the small recipe with these overrides, opened on the small store."""

    return partial(open_small, slices)


@pytest.fixture(scope="session")
def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)

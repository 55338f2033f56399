"""Flips and crops depend on the place of a sample in the stream, not on who loads it or on when a run was resumed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader

from ctrobust.core.records import SliceRecord
from ctrobust.store import Store, write_store
from ctrobust.store.dataset import SliceDataset
from ctrobust.train.augment import random_flips, sample_seeds
from ctrobust.train.schedule import batches

STEPS, BATCH = 12, 4


@given(st.integers(0, 9), st.integers(0, 30), st.integers(1, 6), st.integers(1, 4))
def test_processes_share_the_seeds_of_one_larger_batch(seed, step, size, processes):
    parts = [sample_seeds(seed, "flips", step, size, rank=r, processes=processes) for r in range(processes)]
    assert [one for part in parts for one in part] == sample_seeds(seed, "flips", step, size * processes)


def test_no_two_samples_stages_or_runs_share_a_seed():
    drawn = [
        one
        for seed in range(3)
        for stage in ("flips", "crops")
        for step in range(50)
        for one in sample_seeds(seed, stage, step, 5)
    ]
    assert len(set(drawn)) == len(drawn)


@pytest.fixture
def dataset(tmp_path: Path) -> SliceDataset:
    """Seven slices of 20 × 20, to be cropped to 8 × 8."""
    draw = np.random.default_rng(0)
    path = tmp_path / "s.h5"
    write_store(
        path,
        [
            SliceRecord(
                draw.uniform(-1000, 2000, (20, 20)).astype(np.float32), "p", "s", 0.0, (1, 1), f"{i:064x}"
            )
            for i in range(7)
        ],
    )
    return SliceDataset(Store(path), range(7), size=8, pixel_mm=1.0)


def stream(dataset: SliceDataset, start: int, workers: int) -> Tensor:
    """All that training is shown from step `start` on."""
    steps = range(start, STEPS)
    order = [
        list(zip(batch, sample_seeds(0, "crops", step, BATCH), strict=True))
        for step, batch in zip(steps, batches(len(dataset), BATCH, steps, seed=1), strict=True)
    ]
    loaded = DataLoader(dataset, batch_sampler=order, num_workers=workers)
    return torch.stack(
        [
            random_flips(x, sample_seeds(0, "flips", step, BATCH))
            for step, (x, _) in zip(steps, loaded, strict=True)
        ]
    )


@pytest.mark.parametrize(("start", "workers"), [(0, 0), (0, 1), (0, 2), (5, 0), (5, 2)])
def test_resumed_or_not_and_by_any_number_of_workers(dataset, start, workers):
    whole = stream(dataset, 0, 0)
    assert torch.equal(stream(dataset, start, workers), whole[start:])
    assert len({image.numpy().tobytes() for image in whole.flatten(0, 1)}) == STEPS * BATCH

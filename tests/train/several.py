"""`torchrun … several.py STORE OUT [NAME …]`: what any number of processes train alike, a run each below OUT."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from lightning_fabric import Fabric
from variants import VARIANTS, open_small

from ctrobust.store.dataset import SliceDataset
from ctrobust.train import running
from ctrobust.train.run import train_run
from ctrobust.train.running import make_fabric

TOGETHER = 4
"""Samples a step, of all processes."""
COMMON = ["train.steps=3", "train.checkpoint_every=3", "scan.photons=1e5", "train.precision=fp32"]
# With Adam rounding grows where a gradient is nothing else, as of a bias before a group norm of one channel.
GROUPS = [
    "network.norm=group",
    "train.optimizer=sgd",
    "train.momentum=0.9",
    "train.lr=1e-4",
    "threat.optimizer=sgd",
]
SEVERAL = {
    **{name: [*overrides, *GROUPS] for name, overrides in VARIANTS.items() if name != "parseval"},
    "frozen batch norm": ["method=minmax", "train.freeze_norm=0", *GROUPS[1:]],
    "in parts": ["method=minmax", "train.accumulate=2", *GROUPS],
}


def train_several(fabric: Fabric, store: Path, out: Path, names: Iterable[str] = SEVERAL) -> None:
    batch = f"train.batch_size={TOGETHER // fabric.world_size}"
    for name in names:
        train_run(open_small(store, *COMMON, *SEVERAL[name], batch), fabric, out / name)


@contextmanager
def in_float64() -> Iterator[None]:
    """So that rounding tips neither a ReLU nor a maximum, on whatever processor.

    In float32 batches of two and of four slices are convolved in another order, and the runs part company for good.
    """
    before, read, single = torch.get_default_dtype(), SliceDataset.__getitem__, running.Fabric
    torch.set_default_dtype(torch.float64)

    def doubled(self: SliceDataset, item: int) -> tuple[torch.Tensor, int]:
        x, index = read(self, item)
        return x.double(), index

    SliceDataset.__getitem__ = doubled
    running.Fabric = lambda **given: single(**given | {"precision": "64-true"})
    try:
        yield
    finally:
        torch.set_default_dtype(before)
        SliceDataset.__getitem__, running.Fabric = read, single


if __name__ == "__main__":
    with in_float64():
        train_several(make_fabric("fp32"), Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] or SEVERAL)

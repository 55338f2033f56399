"""`torchrun … several.py STORE OUT [NAME …]`: what any number of processes train alike, a run each below OUT."""

import sys
from collections.abc import Iterable
from pathlib import Path

from lightning_fabric import Fabric
from variants import VARIANTS, open_small

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
    # Where rounding tips a ReLU or a maximum the two part company for good: at this rate it does not.
    "G under the hinge": [*VARIANTS["G under the hinge"], *GROUPS, "threat.lr=1e-4"],
    "in parts": ["method=minmax", "train.accumulate=2", *GROUPS],
}


def train_several(fabric: Fabric, store: Path, out: Path, names: Iterable[str] = SEVERAL) -> None:
    batch = f"train.batch_size={TOGETHER // fabric.world_size}"
    for name in names:
        train_run(open_small(store, *COMMON, *SEVERAL[name], batch), fabric, out / name)


if __name__ == "__main__":
    train_several(make_fabric("fp32"), Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] or SEVERAL)

"""More slices than there are: flips and crops, each by a seed of its sample, so that resuming changes nothing.

A parallel-beam scanner cannot tell a flipped patient from another one.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ctrobust.core.seeds import derive_seed


def sample_seeds(
    seed: int, stage: str, step: int, batch_size: int, *, rank: int = 0, processes: int = 1
) -> list[int]:
    """One for each sample of this process's batch, a function of its place among all samples of all steps alone.

    stage: what is drawn, "flips" or "crops". Handed to `SliceDataset` as `(position, seed)`, they cut equal crops in
    any number of loading processes.
    """
    first = (step * processes + rank) * batch_size
    return [derive_seed(seed, stage, first + offset) for offset in range(batch_size)]


def random_flips(x: Tensor, seeds: Sequence[int]) -> Tensor:
    """Each image of (B, 1, H, W) flipped left–right and top–bottom with probability ½ each, by its own seed."""
    flipped = []
    for image, seed in zip(x, seeds, strict=True):
        turned = torch.randint(2, (2,), generator=torch.Generator().manual_seed(seed)).tolist()
        flipped.append(image.flip([axis for axis, turn in zip((-2, -1), turned, strict=True) if turn]))
    return torch.stack(flipped)

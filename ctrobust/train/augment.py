"""More slices than there are: flips, which a parallel-beam scanner cannot tell from another patient."""

from collections.abc import Sequence

import torch
from torch import Tensor


def random_flips(x: Tensor, seeds: Sequence[int]) -> Tensor:
    """Each image of (B, 1, H, W) flipped left–right and top–bottom with probability ½ each, by its own seed."""
    flipped = []
    for image, seed in zip(x, seeds, strict=True):
        turned = torch.randint(2, (2,), generator=torch.Generator().manual_seed(seed)).tolist()
        flipped.append(image.flip([axis for axis, turn in zip((-2, -1), turned, strict=True) if turn]))
    return torch.stack(flipped)

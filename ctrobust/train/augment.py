"""More slices than there are: flips, which a parallel-beam scanner cannot tell from another patient."""

import torch
from torch import Tensor


def random_flips(x: Tensor, seed: int) -> Tensor:
    """Each image of (B, 1, H, W) flipped left–right and top–bottom with probability ½ each."""
    generator = torch.Generator().manual_seed(seed)
    flips = torch.randint(2, (len(x), 2), generator=generator).bool().tolist()
    return torch.stack(
        [
            image.flip([axis for axis, turned in zip((-2, -1), both, strict=True) if turned])
            for image, both in zip(x, flips, strict=True)
        ]
    )

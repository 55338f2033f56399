"""From images to what the scanner gives: y = A x, noisy where the dose is finite."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ctrobust.operators.noise import low_dose


@torch.no_grad()
def measure(
    A: Callable[[Tensor], Tensor],
    x: Tensor,
    photons: float | None,
    seeds: Sequence[int],
    *,
    electronic_counts: float = 0.0,
) -> Tensor:
    """(B, C, H, W) → (B, C, views, bins); one noise seed a slice, so that its noise is the same whenever met."""
    y = A(x)
    if photons is None:
        return y
    noisy = [
        low_dose(
            clean,
            photons,
            torch.Generator().manual_seed(seed),
            electronic_counts=electronic_counts,
        )
        for clean, seed in zip(y, seeds, strict=True)
    ]
    return torch.stack(noisy)

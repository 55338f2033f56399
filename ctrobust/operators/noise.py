"""Low-dose measurement: Beer–Lambert photon counts, Poisson and electronic noise, back to line integrals."""

import torch
from torch import Tensor

from ctrobust.core.units import WATER_PER_MM

FEWEST_COUNTS = 1.0
"""Counts below this read as this before the logarithm: a dead ray stays finite."""


def low_dose(
    y: Tensor, photons: float, generator: torch.Generator, *, electronic_counts: float = 0.0
) -> Tensor:
    """Noisy line integrals of the same shape and units (mm of water) as y.

        N ~ Poisson(N₀ exp(−μ y)) + Normal(0, σₑ),   ỹ = −ln(max(N, 1)/N₀)/μ,   μ = 0.0193 mm⁻¹

    photons: N₀ per ray; electronic_counts: σₑ. Drawn on the CPU, so that it is the same on every device.
    """
    p = WATER_PER_MM * y.detach().to("cpu", torch.float64)
    counts = torch.poisson(photons * torch.exp(-p), generator=generator)
    if electronic_counts:
        counts = counts + electronic_counts * torch.randn(
            counts.shape, generator=generator, dtype=counts.dtype
        )
    noisy = -torch.log(counts.clamp_min(FEWEST_COUNTS) / photons) / WATER_PER_MM
    return noisy.to(y)

"""Low-dose measurement: Beer–Lambert photon counts, Poisson and electronic noise, back to line integrals.

The dose is N₀, the photons that a ray counts in air. What it costs in y is `noise_variance`.
"""

import math

import torch
from torch import Tensor

from ctrobust.core.units import WATER_PER_MM

FEWEST_COUNTS = 1.0
"""Counts below this read as this before the logarithm: a dead ray stays finite."""


def low_dose(
    y: Tensor,
    photons: float,
    generator: torch.Generator,
    *,
    electronic_counts: float = 0.0,
    floor: float = FEWEST_COUNTS,
) -> Tensor:
    """Noisy line integrals of the same shape and units (mm of water) as y.

        N ~ Poisson(N₀ exp(−μ y)) + Normal(0, σₑ),   ỹ = −ln(max(N, floor)/N₀)/μ,   μ = 0.0193 mm⁻¹

    photons: N₀ per ray; electronic_counts: σₑ; floor: what zero counts, and negative ones after σₑ, read as. It
    has no logarithm otherwise; LoDoPaB-CT (Leuschner et al. 2021, N₀ = 4096) puts 0.1 there, ours is 1. Drawn on
    the CPU, so that it is the same on every device. Raises ValueError on a dose, noise or floor that cannot be.
    """
    _require(photons, electronic_counts, floor)
    p = WATER_PER_MM * y.detach().to("cpu", torch.float64)
    counts = torch.poisson(photons * torch.exp(-p), generator=generator)
    if electronic_counts:
        counts = counts + electronic_counts * torch.randn(
            counts.shape, generator=generator, dtype=counts.dtype
        )
    noisy = -torch.log(counts.clamp_min(floor) / photons) / WATER_PER_MM
    return noisy.to(y)


def noise_variance(
    y: Tensor, photons: float, electronic_counts: float = 0.0, *, floor: float = FEWEST_COUNTS
) -> Tensor:
    """var ỹ of `low_dose` to first order, in mm², of the shape of y and differentiable in it.

        var ỹ ≈ (1/N̄ + σₑ²/N̄²)/μ² = (eᵖ/N₀ + σₑ² e²ᵖ/N₀²)/μ²,   p = μ y,   N̄ = max(N₀ e⁻ᵖ, floor)

    y: the line integrals without noise (the noisy ones give an estimate). First order is good while the counts
    outweigh their noise, N̄ ≫ max(1, σₑ): without σₑ it is too small by 2 % at N̄ = 100 and by a fifth at 10, with
    σₑ = 10 by 5 % at 100 and by half at 30. Rays that count next to nothing are held by the floor and vary less
    than this says; N̄ stops there, so that it stays finite. To higher order: Ma et al., Med. Phys. 39 (2012) 4051.
    """
    _require(photons, electronic_counts, floor)
    counts = (photons * torch.exp(-WATER_PER_MM * y)).clamp_min(floor)
    return (1 / counts + (electronic_counts / counts) ** 2) / WATER_PER_MM**2


def largest_reading(photons: float, *, floor: float = FEWEST_COUNTS) -> float:
    """ln(N₀/floor)/μ, in mm: what a ray or a bin that counts nothing reads."""
    _require(photons, 0.0, floor)
    return math.log(photons / floor) / WATER_PER_MM


def photons_at(mas: float, *, reference_mas: float, reference_photons: float) -> float:
    """N₀ per ray at another tube current × time: N₀ = N₀ʳᵉᶠ · mAs/mAsʳᵉᶠ.

    The reference has to come from a scanner (its counts in air) or be chosen and said: there is no constant of
    nature here. It holds at the same voltage, filter, bins and time a view: mAs of a whole turn is shared among
    its views. Raises ValueError on what is not positive.
    """
    for name, value in {
        "mas": mas,
        "reference_mas": reference_mas,
        "reference_photons": reference_photons,
    }.items():
        _require_positive(name, value)
    return reference_photons * mas / reference_mas


def _require(photons: float, electronic_counts: float, floor: float) -> None:
    _require_positive("photons", photons)
    _require_positive("floor", floor)
    if not 0 <= electronic_counts < math.inf:
        raise ValueError(
            f"electronic_counts {electronic_counts!r}: give a standard deviation, 0 or more counts"
        )


def _require_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} {value!r}: give a finite number above 0")

"""Low dose: the moments of the literature, finite where no photon arrives, the same for the same slice."""

import math

import torch

from ctrobust.core.geometry import ParallelBeam
from ctrobust.core.units import WATER_PER_MM
from ctrobust.operators import Projector, low_dose
from ctrobust.operators.measurement import measure


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_moments_of_the_log_of_a_poisson_count() -> None:
    """std of ỹ ≈ 1/(μ √(N₀ e^(−μy))) for many photons, and no bias worth naming."""
    y, photons = torch.full((1, 200, 500), 100.0), 1e5
    noisy = low_dose(y, photons, seeded())
    expected = 1 / (WATER_PER_MM * math.sqrt(photons * math.exp(-WATER_PER_MM * 100)))
    assert abs(noisy.std() / expected - 1) < 0.02
    assert abs(noisy.mean() - 100) < 0.01


def test_electronic_noise_adds_to_the_variance() -> None:
    y = torch.full((1, 200, 500), 100.0)
    counts = 1e3 * math.exp(-WATER_PER_MM * 100)
    noisy = low_dose(y, 1e3, seeded(), electronic_counts=5.0)
    expected = math.sqrt(counts + 25) / counts / WATER_PER_MM
    assert abs(noisy.std() / expected - 1) < 0.03


def test_a_dead_ray_stays_finite() -> None:
    noisy = low_dose(torch.full((1, 4, 4), 1e4), 100.0, seeded())
    assert torch.isfinite(noisy).all()
    torch.testing.assert_close(noisy, torch.full_like(noisy, math.log(100) / WATER_PER_MM))


def test_the_noise_of_a_slice_does_not_depend_on_its_company() -> None:
    A = Projector(ParallelBeam(16, 4, pixel_mm=10.0))
    x = torch.rand(3, 1, 16, 16, generator=seeded())
    together = measure(A, x, 1e4, [5, 6, 7])
    torch.testing.assert_close(together[1:2], measure(A, x[1:2], 1e4, [6]), rtol=1e-5, atol=1e-4)
    assert not torch.equal(together[1:2], measure(A, x[1:2], 1e4, [5]))
    assert torch.equal(measure(A, x, None, [5, 6, 7]), A(x))

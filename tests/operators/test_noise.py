"""Low dose: the moments of the literature, finite where no photon arrives, the same for the same slice."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ctrobust.core.geometry import ParallelBeam
from ctrobust.core.units import WATER_PER_MM
from ctrobust.operators import Projector, low_dose
from ctrobust.operators.measurement import measure
from ctrobust.operators.noise import largest_reading, noise_variance, photons_at


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


def line_of_counts(expected: float, photons: float = 1e6, draws: int = 100_000) -> torch.Tensor:
    """As many equal rays as `draws`, each of which counts `expected` photons in the mean."""
    return torch.full((draws,), math.log(photons / expected) / WATER_PER_MM, dtype=torch.float64)


@pytest.mark.parametrize("electronic_counts", [0.0, 5.0, 30.0])
@pytest.mark.parametrize("expected", [300.0, 2e3, 3e4])
def test_variance_agrees_with_draws(expected: float, electronic_counts: float) -> None:
    """1e5 draws know a variance to 0.45 %; the second order is 0.7 % of it at 300 counts, more where σₑ weighs."""
    y = line_of_counts(expected)
    drawn = low_dose(y, 1e6, seeded(3), electronic_counts=electronic_counts).var()
    second_order = 2 * (1 / expected + (electronic_counts / expected) ** 2)
    ratio = drawn / noise_variance(y[0], 1e6, electronic_counts)
    assert abs(ratio - 1) < 0.015 + 2 * second_order


def test_first_order_is_as_good_as_it_says() -> None:
    for expected, electronic_counts, missing in ((100, 0.0, 1.02), (10, 0.0, 1.2), (100, 10.0, 1.05)):
        y = line_of_counts(expected)
        drawn = low_dose(y, 1e6, seeded(4), electronic_counts=electronic_counts).var()
        assert abs(drawn / noise_variance(y[0], 1e6, electronic_counts) - missing) < 0.02
    starved = line_of_counts(0.01)
    assert low_dose(starved, 1e6, seeded(4)).var() < noise_variance(starved[0], 1e6)


def test_variance_is_the_formula() -> None:
    y = torch.tensor([0.0, 50.0, 200.0], dtype=torch.float64)
    p = WATER_PER_MM * y
    expected = (p.exp() / 1e4 + 25 * (2 * p).exp() / 1e8) / WATER_PER_MM**2
    torch.testing.assert_close(noise_variance(y, 1e4, 5.0), expected, rtol=1e-12, atol=0)
    assert torch.isfinite(noise_variance(torch.tensor(1e5), 1e4, 5.0))


def test_variance_is_differentiable_in_y() -> None:
    y = torch.linspace(0, 200, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda y: noise_variance(y, 1e4, 5.0), y)


@given(st.floats(0, 400), st.floats(10, 1e7), st.floats(0, 50), st.floats(1.01, 10))
def test_less_dose_more_variance(y: float, photons: float, electronic_counts: float, factor: float) -> None:
    at = torch.tensor(y, dtype=torch.float64)
    low = noise_variance(at, photons, electronic_counts)
    assert noise_variance(at, factor * photons, electronic_counts) <= low
    assert noise_variance(at, photons, electronic_counts + factor) > low


def test_the_stream_of_draws_stays_as_it_was() -> None:
    """What was measured with earlier versions must come out the same to the bit."""
    y = torch.linspace(0, 900, 500).reshape(1, 20, 25)
    for electronic_counts in (0.0, 4.0):
        generator = seeded(11)
        counts = torch.poisson(1e4 * torch.exp(-WATER_PER_MM * y.double()), generator=generator)
        if electronic_counts:
            counts += electronic_counts * torch.randn(1, 20, 25, generator=generator, dtype=torch.float64)
        expected = (-torch.log(counts.clamp_min(1.0) / 1e4) / WATER_PER_MM).float()
        used = seeded(11)
        assert torch.equal(low_dose(y, 1e4, used, electronic_counts=electronic_counts), expected)
        assert torch.equal(used.get_state(), generator.get_state())


@pytest.mark.parametrize("floor", [0.1, 1.0, 3.0])
def test_zero_counts_read_as_the_floor(floor: float) -> None:
    noisy = low_dose(torch.full((1, 4, 4), 1e4), 4096.0, seeded(), floor=floor)
    torch.testing.assert_close(noisy, torch.full_like(noisy, largest_reading(4096.0, floor=floor)))
    negative = low_dose(torch.full((1, 50, 50), 1e4), 4096.0, seeded(), electronic_counts=20.0, floor=floor)
    assert negative.max() == noisy.max()
    assert negative.min() < noisy.min()


def test_dose_is_proportional_to_mas() -> None:
    assert photons_at(50, reference_mas=200, reference_photons=2e5) == 5e4
    assert photons_at(200, reference_mas=200, reference_photons=2e5) == 2e5


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (dict(photons=0.0), "photons"),
        (dict(photons=-1e4), "photons"),
        (dict(photons=math.inf), "photons"),
        (dict(photons=math.nan), "photons"),
        (dict(photons=1e4, electronic_counts=-1.0), "electronic_counts"),
        (dict(photons=1e4, electronic_counts=math.nan), "electronic_counts"),
        (dict(photons=1e4, floor=0.0), "floor"),
    ],
)
def test_refuses_a_dose_that_cannot_be(arguments: dict, named: str) -> None:
    y = torch.zeros(1, 2, 3)
    with pytest.raises(ValueError, match=named):
        low_dose(y, generator=seeded(), **arguments)
    with pytest.raises(ValueError, match=named):
        noise_variance(y, **arguments)


def test_refuses_a_dose_without_a_reference() -> None:
    with pytest.raises(ValueError, match="reference_mas"):
        photons_at(50, reference_mas=0, reference_photons=1e5)
    with pytest.raises(ValueError, match="mas -1"):
        photons_at(-1, reference_mas=100, reference_photons=1e5)

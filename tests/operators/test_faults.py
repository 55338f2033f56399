"""Faults are what they say in counts; no fault, no change; exact gradients in y and in the strength."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ctrobust.core.units import WATER_PER_MM
from ctrobust.operators import low_dose
from ctrobust.operators.faults import (
    dead_channels,
    draw_dead,
    draw_gain,
    gain_drift,
    intensity_drift,
    ring,
    shift_bins,
)
from ctrobust.operators.noise import largest_reading


def sinogram(seed: int = 0, batch: int = 2, views: int = 5, bins: int = 9) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 200 * torch.rand(batch, 1, views, bins, generator=generator, dtype=torch.float64)


def gains(*shape: int) -> Tensor:
    return draw_gain(math.prod(shape), 0.1, 7).reshape(shape)


def bump(centre: float | Tensor, bins: int = 61, width: float = 2.5) -> Tensor:
    """A Gaussian over the bins: smooth, and nothing of it near the ends, so that a shift of it is known exactly."""
    at = torch.arange(bins, dtype=torch.float64) - torch.as_tensor(centre, dtype=torch.float64)
    return torch.exp(-((at / width) ** 2) / 2).expand(1, 1, 3, bins)


# Gains


def test_a_gain_multiplies_the_counts() -> None:
    y, gain = sinogram(), gains(2, 1, 5, 9)
    counts = torch.exp(-WATER_PER_MM * gain_drift(y, gain))
    torch.testing.assert_close(counts, gain * torch.exp(-WATER_PER_MM * y), rtol=1e-12, atol=0)


def test_a_percent_too_many_counts_is_half_a_millimetre_too_little() -> None:
    assert float((gain_drift(sinogram(), 1.01) - sinogram()).mean()) == pytest.approx(-0.5156, abs=1e-4)


def test_a_ring_is_the_same_in_all_views_and_a_drift_in_all_bins() -> None:
    y, bin_gain, view_gain = sinogram(), gains(9), gains(5)
    over_bins, over_views = ring(y, bin_gain) - y, intensity_drift(y, view_gain) - y
    expected = -torch.log(bin_gain) / WATER_PER_MM
    torch.testing.assert_close(over_bins, expected.expand(2, 1, 5, 9), rtol=1e-9, atol=1e-9)
    expected = -torch.log(view_gain)[:, None] / WATER_PER_MM
    torch.testing.assert_close(over_views, expected.expand(2, 1, 5, 9), rtol=1e-9, atol=1e-9)


def test_every_sample_may_have_its_own() -> None:
    y, bin_gain, view_gain = sinogram(), gains(2, 9), gains(2, 5)
    for i in range(2):
        assert torch.equal(ring(y, bin_gain)[i], ring(y[i : i + 1], bin_gain[i])[0])
        assert torch.equal(intensity_drift(y, view_gain)[i], intensity_drift(y[i : i + 1], view_gain[i])[0])


@given(st.integers(0, 1000), st.floats(0.01, 100))
def test_gains_undo_and_compose(seed: int, gain: float) -> None:
    y, bin_gain = sinogram(seed), gain * gains(9)
    assert torch.equal(gain_drift(y, 1.0), y)
    torch.testing.assert_close(ring(ring(y, bin_gain), 1 / bin_gain), y, rtol=0, atol=1e-10)
    torch.testing.assert_close(
        gain_drift(ring(y, bin_gain), gain), ring(y, gain * bin_gain), rtol=0, atol=1e-10
    )


def test_a_gain_of_the_tube_is_a_dose() -> None:
    """Half the photons against a calibration with all of them: the noise of half the dose, and the offset."""
    y, noise = sinogram(), torch.Generator().manual_seed
    tube = low_dose(gain_drift(y, 0.5), 1e6, noise(1))
    torch.testing.assert_close(tube, gain_drift(low_dose(y, 5e5, noise(1)), 0.5), rtol=0, atol=1e-9)


def test_keeps_the_dtype() -> None:
    y = sinogram().float()
    for faulty in (ring(y, gains(9)), intensity_drift(y, gains(5)), shift_bins(y, 0.5)):
        assert faulty.dtype == torch.float32


# Dead channels


DEAD = torch.tensor([True, False, False, True, True, False, True, False, True])


def test_dead_bins_read_what_is_said() -> None:
    y = sinogram()
    reading = largest_reading(1e4)
    faulty = dead_channels(y, DEAD, reading)
    assert (faulty[..., DEAD] == reading).all()
    assert torch.equal(faulty[..., ~DEAD], y[..., ~DEAD])


def test_bridging_is_exact_on_a_line_between_live_bins() -> None:
    line = torch.arange(9, dtype=torch.float64).expand(1, 1, 2, 9) * 3 + 5
    bridged = dead_channels(line, DEAD)
    torch.testing.assert_close(bridged[..., 1:8], line[..., 1:8], rtol=0, atol=1e-12)
    assert (bridged[..., 0] == line[..., 1]).all()
    assert (bridged[..., 8] == line[..., 7]).all()


@given(st.integers(0, 1000), st.integers(0, 8))
def test_bridging_knows_nothing_of_the_dead(seed: int, count: int) -> None:
    y, dead = sinogram(seed), draw_dead(9, count, seed)
    bridged = dead_channels(y, dead)
    assert torch.equal(dead_channels(torch.where(dead, math.nan, y), dead), bridged)
    assert torch.equal(bridged[..., ~dead], y[..., ~dead])
    assert bridged.min() >= y[..., ~dead].min()
    assert bridged.max() <= y[..., ~dead].max()


# Shifts


@given(st.floats(-8, 8))
def test_a_shift_moves_and_moves_back(shift: float) -> None:
    y = bump(30.0)
    moved = shift_bins(y, shift)
    torch.testing.assert_close(moved, bump(30.0 + shift), rtol=0, atol=1e-9)
    torch.testing.assert_close(shift_bins(moved, -shift), y, rtol=0, atol=1e-9)


@given(st.integers(-9, 9), st.integers(0, 100))
def test_whole_bins_move_as_they_are_and_air_comes_in(shift: int, seed: int) -> None:
    y = sinogram(seed)
    expected = torch.zeros_like(y)
    if shift >= 0:
        expected[..., shift:] = y[..., : 9 - shift]
    else:
        expected[..., :shift] = y[..., -shift:]
    torch.testing.assert_close(shift_bins(y, float(shift)), expected, rtol=0, atol=1e-10)


def test_a_shift_is_the_interpolation_it_says() -> None:
    """y′(k) = Σ y(j) D(k − s − j), D the Dirichlet kernel of the padded length 2·bins + 1, summed outright."""
    y, at = sinogram(), torch.arange(9, dtype=torch.float64)
    t = at[:, None] - 0.3 - at[None, :]
    kernel = torch.sin(math.pi * t) / (19 * torch.sin(math.pi * t / 19))
    torch.testing.assert_close(shift_bins(y, 0.3), y @ kernel.T, rtol=0, atol=1e-10)


def test_every_view_may_move_by_its_own() -> None:
    shift = torch.tensor([0.0, 1.5, -2.25], dtype=torch.float64)[:, None]
    expected = torch.cat([bump(30.0 + float(s))[:, :, :1] for s in shift], 2)
    torch.testing.assert_close(shift_bins(bump(30.0), shift), expected, rtol=0, atol=1e-9)


def test_the_slope_at_no_shift_is_that_of_y() -> None:
    """dy′/ds = −dy/dk also at s = 0, from where a search starts; linear interpolation has a kink there."""
    at = torch.arange(61, dtype=torch.float64)
    y = bump(30.0)
    shift = torch.zeros((), dtype=torch.float64)
    slope = torch.autograd.functional.jacobian(lambda shift: shift_bins(y, shift), shift)
    torch.testing.assert_close(slope, (at - 30) / 2.5**2 * y, rtol=0, atol=1e-9)


# Gradients


def leaf(values: Tensor) -> Tensor:
    return values.detach().clone().requires_grad_()


@pytest.mark.parametrize(
    ("fault", "strength"),
    [
        (gain_drift, torch.tensor(1.1, dtype=torch.float64)),
        (ring, gains(4)),
        (ring, gains(2, 4)),
        (intensity_drift, gains(3)),
        (shift_bins, torch.tensor(0.0, dtype=torch.float64)),
        (shift_bins, torch.tensor([[0.3], [-1.2], [2.0]], dtype=torch.float64)),
        (
            lambda y, reads: dead_channels(y, DEAD[:4], reads),
            torch.tensor(300.0, dtype=torch.float64),
        ),
    ],
)
def test_gradients_in_y_and_in_the_strength(fault, strength: Tensor) -> None:
    arguments = leaf(sinogram(views=3, bins=4)), leaf(strength)
    assert torch.autograd.gradcheck(fault, arguments)
    assert torch.autograd.gradgradcheck(fault, arguments)


def test_gradient_of_bridging() -> None:
    y = leaf(sinogram(views=2))
    assert torch.autograd.gradcheck(lambda y: dead_channels(y, DEAD), y)
    dead_channels(y, DEAD).sum().backward()
    assert (y.grad[..., DEAD] == 0).all()


# Draws


def test_draws_are_their_seeds() -> None:
    assert torch.equal(draw_gain(50, 0.1, 3), draw_gain(50, 0.1, 3))
    assert not torch.equal(draw_gain(50, 0.1, 3), draw_gain(50, 0.1, 4))
    assert torch.equal(draw_gain(50, 0.0, 3), torch.ones(50, dtype=torch.float64))
    logarithms = torch.log(draw_gain(100_000, 0.5, 5))
    assert abs(logarithms.mean()) < 0.01
    assert abs(logarithms.std() / 0.5 - 1) < 0.01
    assert torch.equal(draw_dead(50, 4, 3), draw_dead(50, 4, 3))
    assert not torch.equal(draw_dead(50, 4, 3), draw_dead(50, 4, 4))
    assert [int(draw_dead(50, count, 0).sum()) for count in (0, 4, 50)] == [0, 4, 50]
    often = torch.stack([draw_dead(5, 2, seed) for seed in range(4000)]).double().mean(0)
    assert (often - 0.4).abs().max() < 0.04


# Refusals


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda y: gain_drift(y, 0.0), "gain"),
        (lambda y: gain_drift(y, -1.0), "gain"),
        (lambda y: gain_drift(y, math.nan), "gain"),
        (lambda y: gain_drift(y, math.inf), "gain"),
        (lambda y: gain_drift(y, torch.ones(4)), "gain of shape"),
        (lambda y: gain_drift(y, torch.ones(3, 2, 1, 5, 9)), "gain of shape"),
        (lambda y: gain_drift(y[0], 1.0), "y of shape"),
        (lambda y: ring(y, torch.ones(5)), "bin_gain"),
        (lambda y: ring(y, torch.ones(1)), "bin_gain"),
        (lambda y: ring(y, torch.ones(3, 9)), "bin_gain"),
        (lambda y: intensity_drift(y, torch.ones(9)), "view_gain"),
        (lambda y: dead_channels(y, torch.ones(9)), "dead"),
        (lambda y: dead_channels(y, torch.zeros(8, dtype=torch.bool)), "dead"),
        (lambda y: dead_channels(y, torch.ones(9, dtype=torch.bool)), "all 9 bins"),
        (lambda y: dead_channels(y, DEAD, torch.ones(8)), "reads"),
        (lambda y: shift_bins(y, 9.5), "shift"),
        (lambda y: shift_bins(y, math.nan), "shift"),
        (lambda y: shift_bins(y, torch.zeros(9)), "shift of shape"),
        (lambda y: shift_bins(y[0, 0], 1.0), "y of shape"),
        (lambda y: draw_gain(9, -0.1, 0), "sigma"),
        (lambda y: draw_dead(9, 10, 0), "count"),
        (lambda y: draw_dead(9, -1, 0), "count"),
    ],
)
def test_refuses_what_no_detector_has(call, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        call(sinogram())

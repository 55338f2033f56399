"""Observers against closed forms: white noise, the full set of channels, no bias, intervals that hold."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ctrobust.instability import (
    Nodule,
    hotelling_detectability,
    hotelling_template,
    laguerre_gauss,
    template_detectability,
)

SIGNAL = Nodule(5.0, 400.0).draw((12, 12), (5.3, 5.8), 1.0)
SMALL = SIGNAL[4:7, 4:7]


def noisy(count: int, signal: Tensor, seed: int, sigma: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, 1, *signal.shape, generator=generator, dtype=torch.float64)
    return signal + sigma * noise


def pair(count: int, signal: Tensor, seed: int, sigma: float = 1.0) -> tuple[Tensor, Tensor]:
    return noisy(count, 0 * signal, 2 * seed, sigma), noisy(count, signal, 2 * seed + 1, sigma)


@pytest.mark.parametrize("sigma", [0.3, 2.0])
def test_in_white_noise_the_matched_filter_sees_the_signals_energy(sigma: float) -> None:
    """d′ = ‖s‖/σ, and of a template w, wᵀs/(σ‖w‖)."""
    absent, present = pair(4000, SIGNAL, 0, sigma)
    closed = float(SIGNAL.norm()) / sigma
    found = template_detectability(SIGNAL, absent, present)
    assert found.d_prime == pytest.approx(closed, rel=0.03, abs=0.03)
    assert found.low < closed < found.high
    w = SIGNAL + 0.1
    other = float((w * SIGNAL).sum() / w.norm()) / sigma
    assert template_detectability(w, absent, present).d_prime == pytest.approx(other, rel=0.03, abs=0.03)
    assert template_detectability(-SIGNAL, absent, present).d_prime == pytest.approx(-found.d_prime)


def test_in_coloured_noise_it_is_w_w_over_the_noise_along_w() -> None:
    generator = torch.Generator().manual_seed(3)
    root = torch.randn(9, 9, generator=generator, dtype=torch.float64)
    absent, present = pair(4000, SMALL, 1)
    coloured = [
        (images - m).flatten(1) @ root.T + m.flatten()
        for images, m in ((absent, 0 * SMALL), (present, SMALL))
    ]
    w = SMALL.flatten()
    closed = float(w @ w / (w @ root @ root.T @ w).sqrt())
    assert template_detectability(SMALL, *coloured).d_prime == pytest.approx(closed, abs=0.05)
    hotelling = float((w @ torch.linalg.solve(root @ root.T, w)).sqrt())
    pixels = torch.eye(9, dtype=torch.float64).reshape(9, 3, 3)
    found = hotelling_detectability(pixels, *coloured)
    assert found.d_prime == pytest.approx(hotelling, rel=0.05)
    assert hotelling > 1.5 * closed


def test_all_channels_make_the_hotelling_observer_however_they_are_mixed() -> None:
    absent, present = pair(40, SMALL, 2)
    pixels = torch.eye(9, dtype=torch.float64).reshape(9, 3, 3)
    v0, v1 = absent.flatten(1).numpy(), present.flatten(1).numpy()
    S = (np.cov(v0.T) + np.cov(v1.T)) / 2
    difference = v1.mean(0) - v0.mean(0)
    plug_in = difference @ np.linalg.inv(S) @ difference
    found = hotelling_detectability(pixels, absent, present)
    assert found.d_prime == pytest.approx(math.sqrt(max(0, (78 - 10) / 78 * plug_in - 9 / 20)))
    mixing = torch.randn(9, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mixed = (mixing @ pixels.flatten(1)).reshape(9, 3, 3)
    assert hotelling_detectability(mixed, absent, present) == pytest.approx(found)
    np.testing.assert_allclose(
        hotelling_template(mixed, absent, present).flatten().numpy(),
        np.linalg.solve(S, difference),
        rtol=1e-8,
    )
    # Fewer channels never see more than the plug-in of all.
    assert hotelling_detectability(pixels[:4], absent, present).d_prime ** 2 <= plug_in


def test_estimates_are_without_bias_and_intervals_hold() -> None:
    """200 experiments of 12 images a class, d′ known: the mean, and 95 % of the intervals (± 3 σ: 4.6 points)."""
    pixels = torch.eye(9, dtype=torch.float64).reshape(9, 3, 3)[:4]
    true_template, true_hotelling = (
        float(SMALL.norm()),
        float(pixels.flatten(1).matmul(SMALL.flatten()).norm()),
    )
    templates, squares, covered = [], [], np.zeros(2)
    for seed in range(200):
        absent, present = pair(12, SMALL, 100 + seed)
        one = template_detectability(SMALL, absent, present)
        other = hotelling_detectability(pixels, absent, present)
        templates.append(one.d_prime)
        squares.append(other.d_prime**2)
        covered += [one.low <= true_template <= one.high, other.low <= true_hotelling <= other.high]
    assert np.mean(templates) == pytest.approx(true_template, abs=3 * np.std(templates) / math.sqrt(200))
    # What is cut off at 0 biases the mean upwards, so the tolerance is one-sided in effect.
    assert np.mean(squares) == pytest.approx(true_hotelling**2, abs=4 * np.std(squares) / math.sqrt(200))
    assert (np.abs(covered / 200 - 0.95) < 0.046).all()


@pytest.mark.parametrize("scale", [0.0, 1e-3, 50.0, 2000.0])
def test_intervals_hold_the_estimate_from_invisible_to_blatant(scale: float) -> None:
    absent, present = pair(30, scale * SMALL, 5)
    pixels = torch.eye(9, dtype=torch.float64).reshape(9, 3, 3)
    for found in (
        template_detectability(SMALL, absent, present),
        hotelling_detectability(pixels, absent, present),
    ):
        assert found.low <= found.d_prime <= found.high
        assert math.isfinite(found.high)
    assert scale < 1 or found.high < 2.5 * found.d_prime


def test_laguerre_gauss_channels_are_orthonormal_and_round() -> None:
    channels = laguerre_gauss((81, 81), (40.0, 40.0), 14.0, 6)
    assert torch.allclose(channels.flatten(1) @ channels.flatten(1).T, torch.eye(6).double(), atol=1e-6)
    assert torch.allclose(channels, channels.mT)
    assert float(channels[0, 40, 40]) == pytest.approx(math.sqrt(2) / 14)
    assert torch.equal(laguerre_gauss((81, 60), (38.0, 20.0), 14.0, 2)[:, 3:79, 20], channels[:2, 5:, 40])


def test_laguerre_gauss_channels_see_a_nodule_nearly_whole() -> None:
    """In white noise the ideal observer sees ‖s‖; channels see its part in their span."""
    s = Nodule(10.0, 100.0).draw((41, 41), (20.2, 19.7), 1.0)
    channels = laguerre_gauss((41, 41), (20.2, 19.7), math.sqrt(math.pi) * 5.0, 6).flatten(1)
    basis = torch.linalg.qr(channels.T)[0]
    assert float((basis.T @ s.flatten()).norm() / s.norm()) > 0.97


def test_what_cannot_be_estimated_is_refused() -> None:
    absent, present = pair(4, SMALL, 0)
    pixels = torch.eye(9, dtype=torch.float64).reshape(9, 3, 3)
    with pytest.raises(ValueError, match="at least 13"):
        hotelling_detectability(pixels, absent, present)
    with pytest.raises(ValueError, match="at least 2"):
        template_detectability(SMALL, absent[:1], present)
    with pytest.raises(ValueError, match="photons"):
        template_detectability(SMALL, 0 * absent, 0 * present)
    with pytest.raises(ValueError, match="width"):
        laguerre_gauss((8, 8), (4.0, 4.0), 0.0)

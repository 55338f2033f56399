"""Texture and sharpness against what is known exactly: white noise is flat, a Gaussian blur has a Gaussian MTF."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from ctrobust.evaluate.texture import edge_response, ensemble_noise, noise_power
from ctrobust.instability import Nodule

PIXEL_MM = 0.7


def identity(image):
    return image


def blurred(sigma):
    return lambda y: torch.from_numpy(gaussian_filter(y.numpy(), (0, 0, sigma, sigma)))


def white(count, size=64, sigma_hu=20.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return sigma_hu / 1000 * torch.randn(count, 1, size, size, generator=generator, dtype=torch.float64)


@pytest.fixture
def bodies():
    """Discs of water of 40 pixels' radius, and a lung in each."""
    v, u = np.mgrid[-64:64, -64:64] + 0.5
    body = (np.hypot(u, v) < 56).astype(float) - 0.8 * (np.hypot(u + 30, v) < 14)
    return torch.from_numpy(np.stack([body, np.rot90(body).copy()]))[:, None]


def test_white_noise_is_flat_at_its_known_level():
    spectrum = noise_power(white(400), PIXEL_MM)
    level = 20.0**2 * PIXEL_MM**2
    assert spectrum.power.mean() == pytest.approx(level, rel=0.01)
    assert spectrum.power[5:] == pytest.approx(level, rel=0.06)
    assert spectrum.frequency_per_mm[-1] == pytest.approx(0.5 / PIXEL_MM)


def test_its_integral_is_the_variance():
    """A field of one frequency below Nyquist's: all of it lies in one ring."""
    size, cycles = 64, 6
    column = torch.arange(size, dtype=torch.float64)
    wave = 0.05 * torch.cos(2 * torch.pi * cycles * column / size).expand(1, 1, size, size)
    spectrum = noise_power(wave, PIXEL_MM)
    assert spectrum.frequency_per_mm[spectrum.power.argmax()] == pytest.approx(cycles / (size * PIXEL_MM))
    assert np.delete(spectrum.power, cycles) == pytest.approx(0, abs=1e-9)
    radii = np.rint(np.hypot(*np.meshgrid(*2 * [size * np.fft.fftfreq(size)])))
    step = 1 / (size * PIXEL_MM)
    assert spectrum.power[cycles] * (radii == cycles).sum() * step**2 == pytest.approx(50.0**2 / 2)


def test_blurred_white_noise_has_the_blur_squared():
    sigma = 1.2
    fields = torch.from_numpy(gaussian_filter(white(300, 96).numpy(), (0, 0, sigma, sigma), mode="wrap"))
    spectrum = noise_power(fields, PIXEL_MM)
    u = spectrum.frequency_per_mm * PIXEL_MM
    expected = 400 * PIXEL_MM**2 * np.exp(-4 * np.pi**2 * sigma**2 * u**2)
    assert spectrum.power[4:20] == pytest.approx(expected[4:20], rel=0.08)


def test_an_ensemble_has_the_power_of_a_single_draw():
    draws = torch.ones(1, 1, 64, 64) + white(3, seed=4)
    noise = ensemble_noise(lambda y: 2 * y + 5, draws)
    assert noise.mean(0).abs().max() < 1e-12
    assert (1000 * noise).square().mean() == pytest.approx(40.0**2, rel=0.03)
    with pytest.raises(ValueError, match="at least 2"):
        ensemble_noise(identity, draws[:1])


@pytest.mark.parametrize("sigma", [0.8, 1.5, 3.0])
def test_a_gaussian_blur_has_a_gaussian_mtf(bodies, sigma):
    disc = Nodule(diameter_mm=30 * PIXEL_MM, contrast_hu=100)
    found = edge_response(blurred(sigma), identity, bodies, disc, PIXEL_MM, seed=1)
    u = found.frequency_per_mm * PIXEL_MM
    # Sampled at the pixels a Gaussian repeats in frequency: a narrow one shows it near Nyquist's, u = 0.5.
    plain = u < (0.4 if sigma < 1 else 0.5)
    assert found.mtf[plain] == pytest.approx(np.exp(-2 * np.pi**2 * sigma**2 * u**2)[plain], abs=0.01)
    assert found.contrast == pytest.approx(1, abs=0.002)
    width = np.sqrt(1 / (2 * np.pi**2)) / (sigma * PIXEL_MM)
    assert found.mtf50_per_mm == pytest.approx(width * np.sqrt(np.log(2)), rel=0.02)
    if sigma > 1:
        assert found.mtf10_per_mm == pytest.approx(width * np.sqrt(np.log(10)), rel=0.03)


def test_what_is_perfect_has_a_flat_mtf_and_no_frequency_of_half(bodies):
    disc = Nodule(diameter_mm=24 * PIXEL_MM, contrast_hu=-50)
    found = edge_response(lambda y: 0.5 * y, identity, bodies, disc, PIXEL_MM, seed=2)
    assert found.mtf == pytest.approx(1, abs=1e-9)
    assert found.contrast == pytest.approx(0.5)
    assert found.mtf50_per_mm is None
    assert found.esf[:5] == pytest.approx(0.5)
    assert found.esf[-5:] == pytest.approx(0, abs=1e-12)


def test_the_response_is_that_under_the_perturbation(bodies):
    """An f that is sharp where nothing disturbs it, and blurs what is."""
    soft = blurred(1.5)

    def f(y):
        return soft(y) if y[..., 0, 0].abs().max() > 0.5 else y

    disc = Nodule(diameter_mm=30 * PIXEL_MM, contrast_hu=100)
    delta = torch.full_like(bodies, 0.3)
    delta[..., 0, 0] = 1.0
    assert edge_response(f, identity, bodies, disc, PIXEL_MM, seed=1).mtf50_per_mm is None
    attacked = edge_response(f, identity, bodies, disc, PIXEL_MM, seed=1, delta=delta)
    assert attacked.esf == pytest.approx(edge_response(soft, identity, bodies, disc, PIXEL_MM, seed=1).esf)
    assert attacked.mtf50_per_mm < 0.2


def test_a_disc_of_a_few_pixels_has_no_edge_to_measure(bodies):
    with pytest.raises(ValueError, match="at least 4"):
        edge_response(identity, identity, bodies, Nodule(4 * PIXEL_MM, 100), PIXEL_MM, seed=0)

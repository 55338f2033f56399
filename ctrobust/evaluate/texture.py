"""Texture and sharpness of any f: the noise power spectrum, and the response to the edge of a disc.

f need not be linear. Then neither is a property of f alone: the spectrum is that of the noise and the anatomy it was
measured on, the response that of the disc's contrast and place (a task transfer function: Richard et al., Medical
Physics 39 (2012) 4115). Both are stated with what they were measured on, and are no more general than that.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctrobust.instability.places import place
from ctrobust.instability.structures import Nodule
from ctrobust.threat.ascent import Reconstructor

Array = NDArray[np.float64]

BINS_PER_PIXEL = 4
FREQUENCIES = 65


class NoisePower(NamedTuple):
    """Radially averaged: frequency in cycles/mm up to that of Nyquist, power in HU² mm²."""

    frequency_per_mm: Array
    power: Array


class EdgeResponse(NamedTuple):
    """The edge seen through f.

    distance_mm from the edge, inwards negative, and esf, 1 well inside a disc that is perfectly shown; frequency in
    cycles/mm with mtf, 1 at 0; contrast: the share of the disc's that is recovered; mtf50_per_mm, mtf10_per_mm: where
    mtf falls to 50 % and 10 %, None where it does not below Nyquist's frequency.
    """

    distance_mm: Array
    esf: Array
    frequency_per_mm: Array
    mtf: Array
    contrast: float
    mtf50_per_mm: float | None
    mtf10_per_mm: float | None


@torch.no_grad()
def ensemble_noise(f: Reconstructor, draws: Tensor) -> Tensor:
    """(K, 1, H, W) noise of f: f(y_k) less the mean over K ≥ 2 draws of the same slice, times √(K/(K − 1)).

    The factor makes its expected power that of a single draw. draws: (K, 1, views, bins). Raises ValueError on one.
    """
    count = len(draws)
    if count < 2:
        raise ValueError(
            f"draws: {count} of them; noise is a difference, so give at least 2 of the same slice"
        )
    estimates = torch.cat([f(draw[None]) for draw in draws]).double()
    noise: Tensor = (estimates - estimates.mean(0)) * (count / (count - 1)) ** 0.5
    return noise


def noise_power(noise: Tensor, pixel_mm: float) -> NoisePower:
    """Noise power spectrum of fields of noise, averaged over them and over directions.

        NPS(u) = pixel_mm²/(H W) · ⟨|DFT n|²⟩        its integral over u is the variance of n

    noise: (K, 1, H, W) in the units of x, from `ensemble_noise` or f(y + δ) − f(y); nothing is subtracted, so a shift
    of the level shows at frequency 0. A region is cut by the caller. Frequencies are rings as wide as the DFT's
    own step; its corners beyond Nyquist's frequency are left out.
    """
    n = 1000 * noise[:, 0].double().cpu().numpy()
    rows, columns = n.shape[1:]
    power = pixel_mm**2 / (rows * columns) * np.mean(np.abs(np.fft.fft2(n)) ** 2, axis=0)
    v, u = np.meshgrid(np.fft.fftfreq(rows, pixel_mm), np.fft.fftfreq(columns, pixel_mm), indexing="ij")
    step = 1 / (min(rows, columns) * pixel_mm)
    ring = np.rint(np.hypot(u, v) / step).astype(int).ravel()
    rings = min(rows, columns) // 2 + 1
    counts, sums = np.bincount(ring), np.bincount(ring, power.ravel())
    return NoisePower(step * np.arange(rings), sums[:rings] / counts[:rings])


@torch.no_grad()
def edge_response(
    f: Reconstructor,
    A: Callable[[Tensor], Tensor],
    x: Tensor,
    disc: Nodule,
    pixel_mm: float,
    *,
    seed: int,
    delta: Tensor | float = 0.0,
) -> EdgeResponse:
    """The response of f to a disc put into the bodies x, (B, 1, H, W), at places drawn by the seed.

    d = f(A(x + s) + δ) − f(A x + δ): the very same slice without it is subtracted, so no anatomy is left. Raises
    ValueError where the disc is less than 4 pixels in radius, or has no room.
    """
    s, centres = place(disc, x, pixel_mm, seed)
    difference = f(A(x + s) + delta) - f(A(x) + delta)
    return transfer(difference, s, centres, disc, pixel_mm)


def transfer(difference: Tensor, s: Tensor, centres: Tensor, disc: Nodule, pixel_mm: float) -> EdgeResponse:
    """Edge spread → line spread → MTF of a difference image of discs s at centres (B, 2), in pixels.

        lsf(ρ) = −d esf/dρ,     mtf(u) = |F lsf(u)| / |F lsf of s itself|, then divided by its value at 0

    Dividing by the same figure of s takes away the pixel's aperture, the bins' and the differences'. The edge is round:
    where a Gaussian blur's σ is at most a fifth of the radius, the mtf is within 0.01 of that of a straight one.
    difference, s: (B, 1, H, W).
    """
    radius = disc.diameter_mm / 2
    if radius < 4 * pixel_mm:
        raise ValueError(
            f"disc: a radius of {radius:g} mm is {radius / pixel_mm:.1f} pixels; an edge needs at least 4"
        )
    distance, seen = _edge(difference, centres, radius, disc.contrast_hu, pixel_mm)
    _, put_in = _edge(s, centres, radius, disc.contrast_hu, pixel_mm)
    frequency = np.linspace(0, 0.5 / pixel_mm, FREQUENCIES)
    gain = _spectrum(distance, seen, frequency) / _spectrum(distance, put_in, frequency)
    mtf = gain / gain[0]
    return EdgeResponse(
        distance, seen, frequency, mtf, float(gain[0]), *(_falls_to(frequency, mtf, to) for to in (0.5, 0.1))
    )


def _edge(
    image: Tensor, centres: Tensor, radius: float, contrast_hu: float, pixel_mm: float
) -> tuple[Array, Array]:
    """Mean of the image over rings of a quarter of a pixel, from r/4 to 7r/4: distance from the edge, and the ESF."""
    rows, columns = (np.arange(n) for n in image.shape[2:])
    values = 1000 / contrast_hu * image[:, 0].double().cpu().numpy()
    rho = pixel_mm * np.stack(
        [np.hypot(rows[:, None] - row, columns[None] - column) for row, column in centres.tolist()]
    )
    width, count = pixel_mm / BINS_PER_PIXEL, int(1.5 * radius / pixel_mm * BINS_PER_PIXEL)
    ring = np.floor((rho - radius / 4) / width).astype(int)
    near = (ring >= 0) & (ring < count)
    pixels, distances, sums = (
        np.bincount(ring[near], each[near], count) for each in (np.ones_like(rho), rho - radius, values)
    )
    # A ring stands where its pixels are, on the mean, not at its middle; one without pixels nowhere.
    filled = pixels > 0
    return distances[filled] / pixels[filled], sums[filled] / pixels[filled]


def _spectrum(distance: Array, esf: Array, frequency: Array) -> Array:
    middle = (distance[1:] + distance[:-1]) / 2
    spectrum: Array = np.abs(np.exp(-2j * np.pi * np.outer(frequency, middle)) @ np.diff(esf))
    return spectrum


def _falls_to(frequency: Array, mtf: Array, level: float) -> float | None:
    below = np.flatnonzero(mtf < level)
    if not below.size or below[0] == 0:
        return None
    after = below[0]
    share = (mtf[after - 1] - level) / (mtf[after - 1] - mtf[after])
    return float(frequency[after - 1] + share * (frequency[after] - frequency[after - 1]))

"""Detector and tube faults as functions of y, differentiable in y and in their strength.

y = −ln(N/N₀)/μ, with N₀ known from a calibration that is by now wrong: where the counts are g·N instead of N, y is
off by −ln(g)/μ, whatever the object (μ = 0.0193 mm⁻¹: 1 % too many counts is 0.52 mm of water too little). Before
`low_dose` a gain is the tube's, and changes the noise as fewer photons do; after it, it is the detector's.

y: (B, 1, views, bins). Strengths are tensors or numbers, cast to y's dtype and device; a wrong shape or a value that
no detector has raises ValueError.
"""

import math

import torch
from torch import Tensor

from ctrobust.core.units import WATER_PER_MM


def gain_drift(y: Tensor, gain: Tensor | float) -> Tensor:
    """y − ln(gain)/μ: the counts are `gain` times what the calibration says; anything that broadcasts to y."""
    gain = _strength(y, gain, "gain", tuple(y.shape))
    if not bool(((gain > 0) & gain.isfinite()).all()):
        raise ValueError(
            f"gain from {gain.min():.4g} to {gain.max():.4g}: give finite factors above 0, 1 for none"
        )
    return y - torch.log(gain) / WATER_PER_MM


def ring(y: Tensor, bin_gain: Tensor) -> Tensor:
    """`gain_drift` of every bin by its own factor, the same in all views: rings in the image.

    bin_gain: (bins,), or (B, bins) for every sample its own.
    """
    return gain_drift(y, _for_every_sample(y, bin_gain, "bin_gain", y.shape[-1])[..., None, None, :])


def intensity_drift(y: Tensor, view_gain: Tensor) -> Tensor:
    """`gain_drift` of every view by its own factor, the same in all bins: the tube's output wanders.

    view_gain: (views,), or (B, views) for every sample its own.
    """
    return gain_drift(y, _for_every_sample(y, view_gain, "view_gain", y.shape[-2])[..., None, :, None])


def dead_channels(y: Tensor, dead: Tensor, reads: Tensor | float | None = None) -> Tensor:
    """y with its dead bins bridged, as scanners do, or reading a value.

    dead: (bins,) bool. reads: mm of water, anything that broadcasts to y; a bin that counts nothing reads
    `noise.largest_reading`. None: a line from the nearest live bin on one side to that on the other, and the
    nearest one's value at the detector's ends.
    """
    _require_sinogram(y)
    if dead.dtype != torch.bool or dead.shape != y.shape[-1:]:
        raise ValueError(
            f"dead of shape {tuple(dead.shape)}, {dead.dtype}: give a bool for each of the {y.shape[-1]} bins"
        )
    dead = dead.to(y.device)
    if reads is None:
        return _bridge(y, dead)
    return torch.where(dead, _strength(y, reads, "reads", tuple(y.shape)), y)


def _bridge(y: Tensor, dead: Tensor) -> Tensor:
    live = (~dead).nonzero().squeeze(1)
    if not len(live):
        raise ValueError(f"dead: all {len(dead)} bins; leave at least one live to bridge from, or give reads")
    bins = torch.arange(len(dead), device=y.device)
    after = live[torch.searchsorted(live, bins).clamp_max(len(live) - 1)]
    before = live[(torch.searchsorted(live, bins, right=True) - 1).clamp_min(0)]
    # At a live bin, and beyond the last one, both sides are the same bin: the share does not matter.
    share = (bins - before).to(y.dtype) / (after - before).clamp_min(1)
    return torch.lerp(y[..., before], y[..., after], share)


def shift_bins(y: Tensor, shift: Tensor | float) -> Tensor:
    """y moved by `shift` bins towards higher bins, y′(k) = y(k − shift), by Fourier interpolation.

    shift: bins, within ± the detector's width; anything that broadcasts to (B, 1, views, 1). A detector that
    stands m bins too far (`mismatch.centre_shift`) is shift = −m, on noiseless y. Beyond the detector lies air:
    zeros come in, and what leaves is lost; a y that is cut off at the detector's end rings there. Exact for whole
    bins and for band-limited y.
    Thin rays undersample CT slices (128², 36 views): there the change y′ − y is off, against A with the detector
    moved, by 20 % of itself at half a bin and by a third at a tenth (linear interpolation: by 24 and 42 %). So look
    for the worst shift by its gradient here, and judge it by A.
    """
    # Linear interpolation has a kink at every whole shift, at 0 of all places, and blurs in between: a search
    # would find the blur.
    _require_sinogram(y)
    bins = y.shape[-1]
    shift = _strength(y, shift, "shift", (*y.shape[:-1], 1))
    if not bool((shift.abs() <= bins).all()):
        raise ValueError(
            f"shift of {shift.abs().max():.4g} bins: give at most the detector's {bins}, either way"
        )
    # Room for all that leaves, lest it come back at the other end; odd, so that no frequency is its own mirror.
    padded = 2 * bins + 1
    turn = -2 * math.pi * shift * torch.fft.rfftfreq(padded, dtype=y.dtype, device=y.device)
    spectrum = torch.fft.rfft(y, n=padded) * torch.polar(torch.ones_like(turn), turn)
    moved: Tensor = torch.fft.irfft(spectrum, n=padded)[..., :bins]
    return moved


def draw_gain(count: int, sigma: float, seed: int) -> Tensor:
    """(count,) float64 gains exp(σ z), z ~ Normal(0, 1), for `ring` or `intensity_drift`; σ: relative error."""
    if not 0 <= sigma < math.inf:
        raise ValueError(f"sigma {sigma!r}: give a relative standard deviation, 0 or more")
    generator = torch.Generator().manual_seed(seed)
    return torch.exp(sigma * torch.randn(count, generator=generator, dtype=torch.float64))


def draw_dead(bins: int, count: int, seed: int) -> Tensor:
    """(bins,) bool with `count` dead bins, any set of them as likely as any other."""
    if not 0 <= count <= bins:
        raise ValueError(f"count {count!r}: give from 0 to the detector's {bins} bins")
    dead = torch.zeros(bins, dtype=torch.bool)
    dead[torch.randperm(bins, generator=torch.Generator().manual_seed(seed))[:count]] = True
    return dead


def _require_sinogram(y: Tensor) -> None:
    if y.ndim != 4 or y.shape[1] != 1:
        raise ValueError(f"y of shape {tuple(y.shape)}: give (batch, 1, views, bins)")


def _strength(y: Tensor, values: Tensor | float, name: str, shape: tuple[int, ...]) -> Tensor:
    _require_sinogram(y)
    strength = torch.as_tensor(values, dtype=y.dtype, device=y.device)
    try:
        strength.expand(shape)
    except RuntimeError:
        found = tuple(strength.shape)
        raise ValueError(f"{name} of shape {found}: give a number, or what broadcasts to {shape}") from None
    return strength


def _for_every_sample(y: Tensor, values: Tensor, name: str, count: int) -> Tensor:
    _require_sinogram(y)
    if values.shape not in ((count,), (len(y), count)):
        raise ValueError(f"{name} of shape {tuple(values.shape)}: give ({count},) or ({len(y)}, {count})")
    return values

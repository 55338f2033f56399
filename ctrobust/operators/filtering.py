"""The ramp filter, its windows and its cut-off, as in filtered back-projection (Kak and Slaney, ch. 3)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

WINDOWS: dict[str, Callable[[Tensor], Tensor]] = {
    "ram-lak": torch.ones_like,
    "shepp-logan": lambda omega: torch.sinc(omega / (2 * math.pi)),
    "cosine": lambda omega: torch.cos(omega / 2),
    "hamming": lambda omega: 0.54 + 0.46 * torch.cos(omega),
    "hann": lambda omega: (1 + torch.cos(omega)) / 2,
}


def filter_sinogram(y: Tensor, window: str, cutoff: float = 1.0) -> Tensor:
    """Ramp-filter each view of (…, views, bins); unit spacing, zero-padded so that views do not wrap around.

    cutoff: where the window ends, as a share of the detector's Nyquist frequency, 0 < cutoff ≤ 1; frequencies
    beyond it are dropped. Raises ValueError on an unknown window and a cut-off outside.
    """
    if window not in WINDOWS:
        raise ValueError(f"window {window!r}: give one of {', '.join(WINDOWS)}")
    if not 0 < cutoff <= 1:
        raise ValueError(f"cutoff {cutoff!r}: give a share of the Nyquist frequency, above 0 and at most 1")
    bins = y.shape[-1]
    length = _padded_length(bins)
    response = _ramp_response(length, window, cutoff).to(y)
    filtered: Tensor = torch.fft.irfft(torch.fft.rfft(y, n=length) * response, n=length)
    return filtered[..., :bins]


def _padded_length(bins: int) -> int:
    return max(64, 1 << math.ceil(math.log2(2 * bins)))


def _ramp_response(length: int, window: str, cutoff: float) -> Tensor:
    """(length/2 + 1,) float64: the transform of the band-limited ramp, sampled in space to keep its mean."""
    n = torch.fft.fftfreq(length, d=1 / length, dtype=torch.float64)
    odd = n.remainder(2) == 1
    kernel = torch.where(odd, -1 / (math.pi * n) ** 2, torch.zeros_like(n))
    kernel[0] = 0.25
    omega = 2 * math.pi * torch.arange(length // 2 + 1, dtype=torch.float64) / length
    ramp: Tensor = torch.fft.rfft(kernel).real
    return ramp * WINDOWS[window](omega / cutoff) * (omega <= math.pi * cutoff * (1 + 1e-12))

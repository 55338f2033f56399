"""What keeps a drawing from looking drawn: correlated grain and a gentle warp of the body's frame."""

import math

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import fft

from .shapes import Field

GRAINS_MM = ((0.7, 0.8), (2.2, 0.2))
"""(correlation length, share of the power) of the two grains in tissue: the scanner's noise, the lobules'."""


def grain(rng: Generator, size: int, pixel_mm: float) -> Field:
    """(size, size) noise of mean 0 and standard deviation 1, its spectrum a mixture of two Gaussians.

    E|F(k)|² ∝ Σ share · σ² · exp(−(2πσk)²), with k in cycles per mm.
    """
    k_rows, k_columns = fft.fftfreq(size, pixel_mm)[:, None], fft.rfftfreq(size, pixel_mm)[None, :]
    k2 = (2 * math.pi) ** 2 * (k_rows**2 + k_columns**2)
    power = sum(share * mm**2 * np.exp(-k2 * mm**2) for mm, share in GRAINS_MM)
    white = rng.standard_normal((size, size), dtype=np.float32)
    noise = fft.irfft2(fft.rfft2(white) * np.sqrt(power).astype(np.float32), s=(size, size))
    return np.asarray(noise / noise.std(), dtype=np.float32)


class Warp:
    """A smooth displacement of a few mm, Σ aᵢ sin(kᵢ·r + φᵢ), so that no organ is a plain ellipse."""

    WAVES = 4

    def __init__(self, rng: Generator, amplitude_mm: float) -> None:
        length_mm = rng.uniform(70, 170, (self.WAVES, 1))
        heading = rng.standard_normal((self.WAVES, 3)) * (1, 1, 0.5)
        self._waves = 2 * math.pi / length_mm * heading / np.linalg.norm(heading, axis=1, keepdims=True)
        self._phases = rng.uniform(0, 2 * math.pi, self.WAVES)
        push = rng.standard_normal((self.WAVES, 2))
        self._push = amplitude_mm * push / np.abs(push).sum(axis=0)
        self.reach_mm = amplitude_mm

    def __call__(self, x: Field, y: Field, z: float) -> tuple[Field, Field]:
        """The displaced (x, y), each at most `reach_mm` from where it was."""
        dx: NDArray[np.float32] = np.zeros_like(x)
        dy: NDArray[np.float32] = np.zeros_like(y)
        for (kx, ky, kz), phase, (px, py) in zip(self._waves, self._phases, self._push, strict=True):
            wave = np.sin(np.float32(kx) * x + np.float32(ky) * y + np.float32(kz * z + phase))
            dx += np.float32(px) * wave
            dy += np.float32(py) * wave
        return x + dx, y + dy

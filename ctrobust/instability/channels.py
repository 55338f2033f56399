"""Channels through which a model observer looks at an image."""

import math

import torch
from scipy.special import eval_laguerre
from torch import Tensor


def laguerre_gauss(
    shape: tuple[int, int], centre: tuple[float, float], width: float, count: int = 6
) -> Tensor:
    """(count, H, W) float64 Laguerre–Gauss channels, orthonormal up to sampling and the image's edge.

        u_p(r) = (√2/a) exp(−π r²/a²) L_p(2π r²/a²),   p = 0 … count − 1

    r: the distance from `centre` (row, column) in pixels; a: `width` in pixels, of about the signal's own; L_p the
    Laguerre polynomials. Made for round signals: of others they see the part that is round (Barrett, Abbey, Gallas,
    Eckstein, SPIE 3340 (1998) 27; Gallas and Barrett, JOSA A 20 (2003) 1725).
    Raises ValueError on a width or count that cannot be.
    """
    if not 0 < width < math.inf or count < 1:
        raise ValueError(f"width {width!r}, count {count!r}: give a width above 0 pixels, at least 1 channel")
    down, across = (
        torch.arange(size, dtype=torch.float64) - middle for size, middle in zip(shape, centre, strict=True)
    )
    area = math.pi * (down[:, None] ** 2 + across**2) / width**2
    channels = [
        torch.exp(-area) * torch.from_numpy(eval_laguerre(p, (2 * area).numpy())) for p in range(count)
    ]
    return math.sqrt(2) / width * torch.stack(channels)

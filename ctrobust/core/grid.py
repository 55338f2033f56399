"""From one pixel grid to another, both centred on the same point: exact area averages."""

import numpy as np
from numpy.typing import NDArray


def regrid(
    image: NDArray[np.float32],
    pixel_mm: tuple[float, float],
    size: tuple[int, int],
    new_pixel_mm: tuple[float, float],
    outside: float,
) -> NDArray[np.float32]:
    """Resample (H, W) to `size`; each new pixel is the mean of the old image over its own area.

    Antialiased by construction, and integrals are preserved. `outside` is the value beyond the old image,
    in the image's own units. The arithmetic is in float64.
    """
    if image.shape == size and np.allclose(pixel_mm, new_pixel_mm, rtol=1e-9):
        return image
    rows, columns = (
        _overlap(old, old_mm, new, new_mm)
        for old, old_mm, new, new_mm in zip(image.shape, pixel_mm, size, new_pixel_mm, strict=True)
    )
    above = image.astype(np.float64) - outside
    return (rows @ above @ columns.T + outside).astype(np.float32)


def _overlap(old: int, old_mm: float, new: int, new_mm: float) -> NDArray[np.float64]:
    """(new, old) matrix: the share of each new pixel's length that lies in each old pixel."""
    old_edges = (np.arange(old + 1) - old / 2) * old_mm
    new_edges = (np.arange(new + 1) - new / 2) * new_mm
    low = np.maximum(new_edges[:-1, None], old_edges[None, :-1])
    high = np.minimum(new_edges[1:, None], old_edges[None, 1:])
    share: NDArray[np.float64] = np.maximum(high - low, 0) / new_mm
    return share

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
    above = image.astype(np.float64) - outside
    for old_mm, new, new_mm in zip(pixel_mm, size, new_pixel_mm, strict=True):
        # Down the rows, turned, down the columns, turned back.
        above = np.ascontiguousarray(_averaged(above, old_mm, new, new_mm).T)
    return (above + outside).astype(np.float32)


def _averaged(image: NDArray[np.float64], old_mm: float, new: int, new_mm: float) -> NDArray[np.float64]:
    """(old, n) into (new, n): each new row the sum of the few old ones it lies in, by the share of it in each."""
    old = len(image)
    edges = np.arange(old + 1) * old_mm
    new_edges = (np.arange(new + 1) - new / 2) * new_mm + old / 2 * old_mm
    low, high = new_edges[:-1], new_edges[1:]
    first = np.clip(np.floor(low / old_mm), 0, old - 1).astype(np.intp)
    last = np.clip(np.ceil(high / old_mm), 0, old).astype(np.intp)
    averaged = np.zeros((new, image.shape[1]))
    some = np.empty_like(averaged)
    for step in range((last - first).max(initial=0)):
        place = np.minimum(first + step, old - 1)
        share = np.minimum(high, edges[place + 1]) - np.maximum(low, edges[place])
        share[first + step >= last] = 0
        # In place: new memory for each step would take longer than the sums.
        np.take(image, place, axis=0, out=some, mode="clip")
        some *= np.maximum(share, 0)[:, None] / new_mm
        averaged += some
    return averaged

"""The march of `operators.rays`, forward and transposed, compiled by numba for a batch held side by side.

Both take flat arrays: the image with a ring of zeros around it, batch innermost, (rows + 2, columns + 2, width), and
the sinogram (views·bins, width). The transposed march writes where the other reads, with the same weights.
"""

from typing import Any

from numba import njit

from ctrobust.operators.backends.lanes import add, load, multiply_add, store, subtract, zeros
from ctrobust.operators.rays import FRACTION_BITS, ONE

_MASK, _UNIT = ONE - 1, 1.0 / ONE


@njit(nogil=True, cache=True, error_model="numpy")
def project(
    rays: Any, image: Any, columns: int, sinogram: Any, from_ray: int, to_ray: int, like: Any
) -> None:
    """Write the rays from_ray ≤ ray < to_ray of the sinogram."""
    width = len(like)
    line = (columns + 2) * width
    for ray in range(from_ray, to_ray):
        along, across = (line, width) if rays.over_rows[ray] else (width, line)
        slope, sharpness = rays.slope[ray], rays.sharpness[ray]
        place = rays.start[ray] + rays.first[ray] * slope
        at = line + width + rays.first[ray] * along
        total, excess = zeros(image, like), zeros(image, like)
        for _ in range(rays.first[ray], rays.stop[ray]):
            share = min(max(((place & _MASK) * _UNIT - 0.5) * sharpness + 0.5, 0.0), 1.0)
            here = at + (place >> FRACTION_BITS) * across
            left = load(image, here, like)
            total = add(total, left)
            excess = multiply_add(share, subtract(load(image, here + across, like), left), excess)
            place += slope
            at += along
        store(sinogram, ray * width, multiply_add(rays.length[ray], add(total, excess), zeros(image, like)))


@njit(nogil=True, cache=True, error_model="numpy")
def backproject(
    rays: Any,
    sinogram: Any,
    image: Any,
    columns: int,
    over_rows: bool,
    from_step: int,
    to_step: int,
    like: Any,
) -> None:
    """Add to the rows (or columns) from_step ≤ r < to_step what the rays that step over them carry."""
    width = len(like)
    line = (columns + 2) * width
    along, across = (line, width) if over_rows else (width, line)
    for ray in range(len(rays.start)):
        first, stop = max(rays.first[ray], from_step), min(rays.stop[ray], to_step)
        if rays.over_rows[ray] != over_rows or first >= stop:
            continue
        carried = multiply_add(rays.length[ray], load(sinogram, ray * width, like), zeros(sinogram, like))
        slope, sharpness = rays.slope[ray], rays.sharpness[ray]
        place = rays.start[ray] + first * slope
        at = line + width + first * along
        for _ in range(first, stop):
            share = min(max(((place & _MASK) * _UNIT - 0.5) * sharpness + 0.5, 0.0), 1.0)
            here = at + (place >> FRACTION_BITS) * across
            store(image, here, multiply_add(1.0 - share, carried, load(image, here, like)))
            there = here + across
            store(image, there, multiply_add(share, carried, load(image, there, like)))
            place += slope
            at += along


@njit(nogil=True, cache=True, error_model="numpy")
def write_entries(
    rays: Any, rows: int, columns: int, begins: Any, pixels: Any, weights: Any, from_ray: int, to_ray: int
) -> None:
    """Write the pixels that each ray meets and their weights from begins[ray] on, zeros left out.

    With empty `pixels` nothing is written and begins[ray] becomes the number of them.
    """
    for ray in range(from_ray, to_ray):
        over_rows = rays.over_rows[ray]
        width = columns if over_rows else rows
        place = rays.start[ray] + rays.first[ray] * rays.slope[ray]
        at = begins[ray]
        count = 0
        for step in range(rays.first[ray], rays.stop[ray]):
            share = ((place & _MASK) * _UNIT - 0.5) * rays.sharpness[ray] + 0.5
            share = min(max(share, 0.0), 1.0)
            k = place >> FRACTION_BITS
            for across, part in ((k, 1.0 - share), (k + 1, share)):
                if part > 0.0 and 0 <= across < width:
                    if len(pixels):
                        pixels[at + count] = step * columns + across if over_rows else across * columns + step
                        weights[at + count] = part * rays.length[ray]
                    count += 1
            place += rays.slope[ray]
        if not len(pixels):
            begins[ray] = count

"""The back-projection of `operators.fan` on the CPU, compiled by numba; see `march` for how a batch is held."""

from typing import Any

from numba import njit
from torch import Tensor

from ctrobust.core.geometry import FanBeam
from ctrobust.operators.backends import threads
from ctrobust.operators.backends.lanes import load, multiply_add, store
from ctrobust.operators.backends.numba import groups
from ctrobust.operators.rays import shadows


def smear(geometry: FanBeam, batch: Tensor, transposed: bool) -> Tensor:
    """(B, 1, views, bins) → (B, 1, H, W), or the transpose."""
    shape = geometry.sinogram_shape if transposed else geometry.image_shape
    result = batch.new_empty(len(batch), 1, *shape)
    for group, width in groups(len(batch)):
        _smear_group(geometry, batch[group, 0], result[group, 0], width, transposed)
    return result


def _smear_group(geometry: FanBeam, source: Tensor, target: Tensor, width: int, transposed: bool) -> None:
    (rows, columns), (views, bins) = geometry.image_shape, geometry.sinogram_shape
    image = source.new_zeros(rows, columns, width)
    sinogram = source.new_zeros(views, bins + 2, width)
    given, wanted = (image, sinogram[:, 1:-1]) if transposed else (sinogram[:, 1:-1], image)
    given[..., : len(source)] = source.permute(1, 2, 0)
    table, like = shadows(geometry), (0,) * width
    flat_image, flat_sinogram = image.view(-1).numpy(), sinogram.view(-1).numpy()
    iso_depth = geometry.source_to_iso_mm * geometry.bin_mm

    def part(bounds: tuple[int, int]) -> None:
        # Each thread owns some rows of what is written.
        all_views, all_rows = (0, views), (0, rows)
        owned = (*bounds, *all_rows) if transposed else (*all_views, *bounds)
        _march(table, iso_depth, flat_image, columns, flat_sinogram, bins, *owned, transposed, like)

    threads.each(part, threads.parts(len(target[0]), 4 * threads.count()))
    target.copy_(wanted[..., : len(target)].permute(2, 0, 1))


@njit(nogil=True, cache=True, error_model="numpy")
def _march(
    table: Any,
    iso_depth: float,
    image: Any,
    columns: int,
    sinogram: Any,
    bins: int,
    from_view: int,
    to_view: int,
    from_row: int,
    to_row: int,
    transposed: bool,
    like: Any,
) -> None:
    width = len(like)
    for row in range(from_row, to_row):
        for view in range(from_view, to_view):
            a, b, c, d, e, f = table[view]
            line = view * (bins + 2) * width
            for column in range(columns):
                inverse = 1 / (d + e * column + f * row)
                place = (a + b * column + c * row) * inverse + 1
                if not 0 <= place < bins + 1:
                    continue
                k = int(place)
                scale = (iso_depth * inverse) ** 2
                right = (place - k) * scale
                left = scale - right
                here, there = line + k * width, line + (k + 1) * width
                pixel = (row * columns + column) * width
                if transposed:
                    value = load(image, pixel, like)
                    store(sinogram, here, multiply_add(left, value, load(sinogram, here, like)))
                    store(sinogram, there, multiply_add(right, value, load(sinogram, there, like)))
                else:
                    value = load(image, pixel, like)
                    value = multiply_add(left, load(sinogram, here, like), value)
                    store(image, pixel, multiply_add(right, load(sinogram, there, like), value))

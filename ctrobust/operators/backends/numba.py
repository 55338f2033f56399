"""A on the CPU with no matrix: the march of `operators.rays`, up to eight slices in one vector register."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ctrobust.core.geometry import Geometry
from ctrobust.operators.backends import march, threads
from ctrobust.operators.rays import trace

WIDTHS = (1, 4, 8)
"""Slices marched together; a batch is cut into groups of the largest, the rest is filled up with zeros."""

STEPS_WORTH_A_THREAD = 200_000
"""About a millisecond; waking a thread for less does not pay."""


class NumbaBackend:
    """Compiled at first use (about a second, kept on disk by numba). float32 and float64; the same bits on any
    number of threads."""

    name = "numba"
    matched = True

    def __init__(self, geometry: Geometry, device: torch.device) -> None:
        if device.type != "cpu":
            raise ValueError(f"device {str(device)!r}: the numba back-end computes on the CPU; take 'auto'")
        self._geometry, self._rays = geometry, trace(geometry)
        work = int((self._rays.stop - self._rays.first).sum())
        self._most_parts = 1 + work // STEPS_WORTH_A_THREAD

    def forward(self, x: Tensor) -> Tensor:
        y = x.new_empty(len(x), 1, *self._geometry.sinogram_shape)
        for group, width in groups(len(x)):
            y[group, 0] = self._project(x[group, 0], width)
        return y

    def adjoint(self, y: Tensor) -> Tensor:
        x = y.new_empty(len(y), 1, *self._geometry.image_shape)
        for group, width in groups(len(y)):
            x[group, 0] = self._backproject(y[group, 0], width)
        return x

    def _project(self, x: Tensor, width: int) -> Tensor:
        rows, columns = self._geometry.image_shape
        image = x.new_zeros(rows + 2, columns + 2, width)
        image[1:-1, 1:-1, : len(x)] = x.permute(1, 2, 0)
        sinogram = x.new_empty(*self._geometry.sinogram_shape, width)
        flat_image, flat_sinogram = image.view(-1).numpy(), sinogram.view(-1).numpy()
        rays, like = len(self._rays.start), (0,) * width

        def part(bounds: tuple[int, int]) -> None:
            march.project(self._rays, flat_image, columns, flat_sinogram, *bounds, like)

        threads.each(part, threads.parts(rays, min(8 * threads.count(), self._most_parts)))
        return sinogram[..., : len(x)].permute(2, 0, 1)

    def _backproject(self, y: Tensor, width: int) -> Tensor:
        rows, columns = self._geometry.image_shape
        sinogram = y.new_zeros(*y.shape[1:], width)
        sinogram[..., : len(y)] = y.permute(1, 2, 0)
        image = y.new_zeros(rows + 2, columns + 2, width)
        flat_image, flat_sinogram = image.view(-1).numpy(), sinogram.view(-1).numpy()
        like = (0,) * width
        # Each thread owns some rows while the rays that step over rows write, then some columns for the others.
        for over_rows, steps in ((True, rows), (False, columns)):

            def part(bounds: tuple[int, int], over_rows: bool = over_rows) -> None:
                march.backproject(self._rays, flat_sinogram, flat_image, columns, over_rows, *bounds, like)

            threads.each(part, threads.parts(steps, min(threads.count(), self._most_parts)))
        return image[1:-1, 1:-1, : len(y)].permute(2, 0, 1)


def groups(batch: int) -> Iterator[tuple[slice, int]]:
    """Slices of the batch and the width each is marched with."""
    for begin in range(0, batch, WIDTHS[-1]):
        count = min(batch - begin, WIDTHS[-1])
        yield slice(begin, begin + count), next(width for width in WIDTHS if width >= count)

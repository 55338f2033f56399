"""From a list of parts to one slice: each part is laid over those before it, its edge one pixel soft."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .shapes import Box, Field, Shape

WORLD_MM = 1e4
"""Farther away than any pixel: where a box without an end is cut."""


class Tissue(NamedTuple):
    """Mean and grain (standard deviation of the texture) of a tissue, both in HU."""

    hu: float
    grain: float


class Part(NamedTuple):
    """A shape filled with a tissue, kept `inside` another shape where there is one; `opacity` in [0, 1]."""

    shape: Shape
    tissue: Tissue
    inside: Shape | None = None
    opacity: float = 1.0


@dataclass(frozen=True)
class Grid:
    """The pixels of one slice in the body's own frame, and how to find a box among them.

    x, y       (size, size) mm: where each pixel lies in the body, which is turned, moved and warped
    turn       the body's rotation about z, radians;  shift  its place (x, y) in the scanner, mm
    slack_mm   how far the warp may have moved a pixel
    """

    x: Field
    y: Field
    pixel_mm: float
    turn: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)
    slack_mm: float = 0.0

    def window(self, box: Box) -> tuple[slice, slice]:
        """The rows and columns a box of the body's frame may reach."""
        cos, sin = math.cos(self.turn), math.sin(self.turn)
        (x, reach_x), (y, reach_y) = self._span(box, 0), self._span(box, 1)
        right = cos * x - sin * y + self.shift[0]
        down = sin * x + cos * y + self.shift[1]
        return (
            self._pixels(down, abs(sin) * reach_x + abs(cos) * reach_y),
            self._pixels(right, abs(cos) * reach_x + abs(sin) * reach_y),
        )

    def _span(self, box: Box, axis: int) -> tuple[float, float]:
        """Middle and half length of a box, widened by the warp and the soft edge; no box is endless here."""
        low, high = max(box.low[axis], -WORLD_MM), min(box.high[axis], WORLD_MM)
        return (low + high) / 2, (high - low) / 2 + self.slack_mm + self.pixel_mm

    def _pixels(self, middle: float, half: float) -> slice:
        size = len(self.x)
        first = math.floor((middle - half) / self.pixel_mm + size / 2)
        last = math.ceil((middle + half) / self.pixel_mm + size / 2)
        return slice(min(size, max(0, first)), min(size, max(0, last)))

    def cover(self, shape: Shape, z: float, window: tuple[slice, slice]) -> Field:
        """The share of each pixel in the window that the shape covers, in [0, 1]."""
        depth = shape.distance(self.x[window], self.y[window], z)
        depth /= -self.pixel_mm
        depth += 0.5
        np.minimum(depth, 1, out=depth)
        return np.maximum(depth, 0, out=depth)


def render(
    parts: Sequence[Part], reach: NDArray[np.float64], grid: Grid, z: float, under: tuple[Field, Field]
) -> None:
    """Lay the parts at height z in order over `under`, (HU, grain); `reach` is what `heights(parts)` gave."""
    masks: dict[Shape, Field] = {}
    everything = (slice(None), slice(None))
    for index in np.flatnonzero((reach[:, 0] < z + grid.pixel_mm) & (z - grid.pixel_mm < reach[:, 1])):
        shape, tissue, inside, opacity = parts[int(index)]
        window = grid.window(shape.box)
        share = grid.cover(shape, z, window)
        if inside is not None:
            if inside not in masks:
                masks[inside] = grid.cover(inside, z, everything)
            share *= masks[inside][window]
        share *= opacity
        for image, value in zip(under, tissue, strict=True):
            area = image[window]
            area += share * (np.float32(value) - area)


def heights(parts: Sequence[Part]) -> NDArray[np.float64]:
    """(len(parts), 2): lowest and highest z of each part, so that a slice meets only those it crosses."""
    return np.array([(part.shape.box.low[2], part.shape.box.high[2]) for part in parts])

"""Shapes made of shapes: grown, shared, cut away, lined."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .shapes import Box, Field, Shape, as_field


@dataclass(frozen=True)
class Grown:
    """A shape with its surface moved outwards by `mm` (inwards when negative)."""

    shape: Shape
    mm: float

    @cached_property
    def box(self) -> Box:
        (x0, y0, z0), (x1, y1, z1) = self.shape.box
        mm = self.mm
        return Box((x0 - mm, y0 - mm, z0 - mm), (x1 + mm, y1 + mm, z1 + mm))

    def distance(self, x: Field, y: Field, z: float | Field) -> Field:
        return as_field(self.shape.distance(x, y, z) - self.mm)


@dataclass(frozen=True)
class Both:
    """What two shapes have in common."""

    first: Shape
    second: Shape

    @cached_property
    def box(self) -> Box:
        (a, b), (c, d) = self.first.box, self.second.box
        return Box(
            (max(a[0], c[0]), max(a[1], c[1]), max(a[2], c[2])),
            (min(b[0], d[0]), min(b[1], d[1]), min(b[2], d[2])),
        )

    def distance(self, x: Field, y: Field, z: float | Field) -> Field:
        return np.maximum(self.first.distance(x, y, z), self.second.distance(x, y, z))


@dataclass(frozen=True)
class Without:
    """The first shape less the second."""

    first: Shape
    second: Shape

    @property
    def box(self) -> Box:
        return self.first.box

    def distance(self, x: Field, y: Field, z: float | Field) -> Field:
        return np.maximum(self.first.distance(x, y, z), -self.second.distance(x, y, z))


@dataclass(frozen=True)
class Lining:
    """A layer on the inside of a shape, `thick` mm in the middle of a region and thinning out to its edge."""

    shape: Shape
    region: Shape
    thick: float

    @property
    def box(self) -> Box:
        return self.region.box

    def distance(self, x: Field, y: Field, z: float | Field) -> Field:
        outside = self.shape.distance(x, y, z)
        tapered = np.minimum(self.thick, -0.35 * self.region.distance(x, y, z))
        return as_field(np.maximum(outside, -tapered - outside))

"""The vocabulary organs are made of: solids that know how far a point is from their surface.

Millimetres throughout; x to the patient's left, y to the back, z to the head, as in DICOM.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Vec = tuple[float, float, float]


class Box(NamedTuple):
    """Corners of a box, sides along the axes, outside of which a shape covers nothing."""

    low: Vec
    high: Vec


class Shape(Protocol):
    """A solid: `distance` is negative inside, in mm, and exact to first order near the surface."""

    @property
    def box(self) -> Box: ...

    def distance(self, x: Field, y: Field, z: float | Field) -> Field: ...


@dataclass(frozen=True)
class Ellipsoid:
    """(u/rx)² + (v/ry)² + (w/rz)² ≤ 1, turned by `yaw` about z; `lean` moves its centre per mm of z."""

    centre: Vec
    radii: Vec
    yaw: float = 0.0
    lean: tuple[float, float] = (0.0, 0.0)

    @cached_property
    def box(self) -> Box:
        rx, ry, rz = self.radii
        cos, sin = math.cos(self.yaw), math.sin(self.yaw)
        reach = (
            math.hypot(rx * cos, ry * sin) + abs(self.lean[0]) * rz,
            math.hypot(rx * sin, ry * cos) + abs(self.lean[1]) * rz,
            rz,
        )
        return _around(self.centre, reach)

    def distance(self, x: Field, y: Field, z: float | Field) -> Field:
        (cx, cy, cz), (rx, ry, rz) = self.centre, self.radii
        cos, sin = math.cos(self.yaw), math.sin(self.yaw)
        dx, dy = x - (cx + self.lean[0] * (z - cz)), y - (cy + self.lean[1] * (z - cz))
        u, v, w = (cos * dx + sin * dy) / rx, (cos * dy - sin * dx) / ry, (z - cz) / rz
        # The small terms keep the quotient finite at the centre, where it would be 0/0.
        norm = np.sqrt(u * u + v * v + w * w)
        slope = np.sqrt((u / rx) ** 2 + (v / ry) ** 2 + (w / rz) ** 2) + 1e-3 / min(self.radii)
        return as_field((norm - 1) * (norm + 1e-3) / slope)


@dataclass(frozen=True)
class Capsule:
    """A round rod from `start` to `end` whose radius runs linearly from `radii[0]` to `radii[1]`."""

    start: Vec
    end: Vec
    radii: tuple[float, float]

    @cached_property
    def box(self) -> Box:
        reach = max(self.radii)
        (ax, ay, az), (bx, by, bz) = self.start, self.end
        return Box(
            (min(ax, bx) - reach, min(ay, by) - reach, min(az, bz) - reach),
            (max(ax, bx) + reach, max(ay, by) + reach, max(az, bz) + reach),
        )

    def distance(self, x: Field, y: Field, z: float | Field) -> Field:
        ax, ay, az = (b - a for a, b in zip(self.start, self.end, strict=True))
        dx, dy, dz = x - self.start[0], y - self.start[1], z - self.start[2]
        along = (dx * ax + dy * ay + dz * az) / (ax * ax + ay * ay + az * az + 1e-6)
        along = np.minimum(np.maximum(along, 0), 1)
        off = np.sqrt((dx - along * ax) ** 2 + (dy - along * ay) ** 2 + (dz - along * az) ** 2)
        return as_field(off - (self.radii[0] + along * (self.radii[1] - self.radii[0])))


@dataclass(frozen=True)
class Trunk:
    """A stack of superellipses, |x/a(z)|ⁿ + |y/b(z)|ⁿ ≤ 1: the outline of skin, muscle or chest cavity.

    `widths` and `depths` scale the half axes at the heights `levels`, linearly in between.
    """

    half_width: float
    half_depth: float
    centre_y: float
    levels: tuple[float, ...]
    widths: tuple[float, ...]
    depths: tuple[float, ...]
    exponent: float = 2.4

    @cached_property
    def box(self) -> Box:
        a, b = self.half_width * max(self.widths), self.half_depth * max(self.depths)
        return _around((0.0, self.centre_y, 0.0), (a, b, math.inf))

    def axes(self, z: float | Field) -> tuple[Any, Any]:
        """Half width and half depth at height z."""
        a = self.half_width * np.interp(z, self.levels, self.widths)
        b = self.half_depth * np.interp(z, self.levels, self.depths)
        return np.float32(a), np.float32(b)

    def rim(self, angle: float, z: float) -> tuple[float, float]:
        """(x, y) on the outline; angle 0 is the back, π/2 the patient's left, π the front."""
        a, b = self.axes(z)
        sin, cos = math.sin(angle), math.cos(angle)
        stretch = (abs(sin) ** self.exponent + abs(cos) ** self.exponent) ** (-1 / self.exponent)
        return float(a * sin * stretch), self.centre_y + float(b * cos * stretch)

    def distance(self, x: Field, y: Field, z: float | Field) -> Field:
        a, b = self.axes(z)
        n = self.exponent
        u, v = np.abs(x) / a, np.abs(y - self.centre_y) / b
        pu, pv = u ** (n - 1), v ** (n - 1)
        total = pu * u + pv * v + 1e-6
        level = total ** (1 / n)
        return as_field((level - 1) * total / (level * (np.hypot(pu / a, pv / b) + 1e-9)))


@dataclass(frozen=True)
class Drum:
    """An upright elliptic cylinder, `radii` = (rx, ry, half height): a vertebra, a disc."""

    centre: Vec
    radii: Vec

    @cached_property
    def box(self) -> Box:
        return _around(self.centre, self.radii)

    def distance(self, x: Field, y: Field, z: float | Field) -> Field:
        (cx, cy, cz), (rx, ry, half) = self.centre, self.radii
        u, v = (x - cx) / rx, (y - cy) / ry
        norm = np.sqrt(u * u + v * v)
        side = (norm - 1) * (norm + 1e-3) / (np.hypot(u / rx, v / ry) + 1e-3 / min(rx, ry))
        return as_field(np.maximum(side, np.abs(z - cz) - half))


@dataclass(frozen=True)
class InFront:
    """Everything in front of the plane y = `y`: where gas gathers in a patient on his back."""

    y: float

    @property
    def box(self) -> Box:
        return Box((-math.inf, -math.inf, -math.inf), (math.inf, self.y, math.inf))

    def distance(self, x: Field, y: Field, z: float | Field) -> Field:
        return as_field(y - self.y)


def rod(points: list[Vec], radii: list[float]) -> list[Shape]:
    """A tube along a polyline, as one capsule a stretch."""
    return [
        Capsule(a, b, (r, s))
        for a, b, r, s in zip(points[:-1], points[1:], radii[:-1], radii[1:], strict=True)
    ]


def _around(centre: Vec, reach: Vec) -> Box:
    (x, y, z), (dx, dy, dz) = centre, reach
    return Box((x - dx, y - dy, z - dz), (x + dx, y + dy, z + dz))


def as_field(values: Any) -> Field:
    return np.asarray(values, dtype=np.float32)

"""Spine, ribs with their cartilage, breastbone and shoulder blades: spongy bone in a cortical shell."""

import math
from collections.abc import Sequence

from numpy.random import Generator

from .body import FAT
from .combine import Grown
from .habitus import Habitus
from .render import Part, Tissue
from .shapes import Capsule, Drum, Ellipsoid, Shape, Vec, rod

CARTILAGE = Tissue(110, 18)
DISC = Tissue(85, 14)
CORD = Tissue(38, 10)
VERTEBRA_MM = 24.0
RIBS = 12


def skeleton(habitus: Habitus, rng: Generator) -> list[Part]:
    """All bones that a chest or upper abdomen scan meets."""
    parts = [part for side in (-1, 1) for number in range(RIBS) for part in _rib(habitus, number, side)]
    parts += [part for number in range(-6, 8) for part in _vertebra(habitus, number, rng)]
    parts += _breastbone(habitus)
    for side in (-1, 1):
        parts += _blade(habitus, side, rng.uniform(0.45, 0.7))
    return parts


def _bone(
    shapes: Sequence[Shape], habitus: Habitus, shell_mm: float, spongy_hu: float, cortical_hu: float = 950
) -> list[Part]:
    """All shells first, then all marrow, so that joined pieces are hollow together."""
    cortical = Tissue(cortical_hu * habitus.bone, 70)
    spongy = Tissue(spongy_hu * habitus.bone, 45)
    shells = [Part(shape, cortical) for shape in shapes]
    return shells + [Part(Grown(shape, -shell_mm), spongy) for shape in shapes]


def _rib(habitus: Habitus, number: int, side: int) -> list[Part]:
    """One rib, from the spine round the chest and down; the first seven reach the breastbone by cartilage."""
    top = 172 - VERTEBRA_MM * number
    middle = habitus.cavity.centre_y
    last = 2.75 if number < 7 else 2.75 - 0.28 * (number - 6)
    points: list[Vec] = []
    steps = 18
    for step in range(steps + 1):
        angle = 0.3 + (last - 0.3) * step / steps
        z = top - 62 * (1 - math.cos(angle)) / 2 * (1.1 if number < 9 else 0.8)
        x, y = habitus.cavity.rim(angle, z)
        out = 1 + 4.5 / math.hypot(x, y - middle)
        points.append((side * x * out, middle + (y - middle) * out, z))
    bony = int(steps * 0.78)
    radii = [4.2 + 0.9 * math.sin(math.pi * step / steps) for step in range(steps + 1)]
    bone = _bone(rod(points[: bony + 1], radii[: bony + 1]), habitus, 1.3, 260)
    if number >= 10:
        return bone
    return [Part(shape, CARTILAGE) for shape in rod(points[bony:], radii[bony:])] + bone


def _vertebra(habitus: Habitus, number: int, rng: Generator) -> list[Part]:
    """Body, disc below, arch with its processes, and the canal with the cord."""
    z = VERTEBRA_MM * number + 10
    x, y = habitus.spine(z)
    size = 1.0 - 0.035 * number
    rx, ry = 17.5 * size, 14.0 * size
    body = Drum((x, y, z), (rx, ry, 9.6))
    disc = Drum((x, y, z - VERTEBRA_MM / 2), (rx, ry, 3.0))
    back = y + ry + 16 * size
    arch: list[Shape] = []
    for side in (-1, 1):
        joint = (x + side * 12.5 * size, y + ry + 7 * size, z + 1)
        arch.append(Capsule((x + side * 9 * size, y + ry - 3, z + 3), joint, (4.2, 4.6)))
        arch.append(Capsule(joint, (x + side * 1.0, back, z - 4), (4.2, 3.4)))
        arch.append(Capsule(joint, (x + side * 31 * size, y + ry + 13, z + 4), (4.0, 3.2)))
    arch.append(Capsule((x, back, z - 4), (x + rng.normal(0, 1), back + 21 * size, z - 17), (3.4, 3.0)))
    canal = Ellipsoid((x, y + ry + 7.5 * size, z), (9.5 * size, 8.0 * size, 60))
    bore = Drum((canal.centre[0], canal.centre[1], z), (canal.radii[0], canal.radii[1], VERTEBRA_MM / 2))
    cord = Drum(bore.centre, (bore.radii[0] - 1.5, bore.radii[1] - 1.5, VERTEBRA_MM / 2))
    parts = [Part(disc, DISC), *_bone([body], habitus, 1.1, 180, 460), *_bone(arch, habitus, 1.4, 300)]
    return [*parts, Part(bore, FAT), Part(cord, CORD)]


def _breastbone(habitus: Habitus) -> list[Part]:
    points: list[Vec] = []
    for z in (140.0, 105.0, 70.0, 38.0, 8.0):
        _, y = habitus.cavity.rim(math.pi, z)
        points.append((0.0, y - 4, z))
    plates: list[Shape] = []
    for low, high in zip(points[1:], points[:-1], strict=True):
        lean = (high[1] - low[1]) / (high[2] - low[2])
        middle = (0.0, (low[1] + high[1]) / 2, (low[2] + high[2]) / 2)
        plates.append(Ellipsoid(middle, (17, 5.5, 26), lean=(0.0, lean)))
    return _bone(plates, habitus, 1.4, 180)


def _blade(habitus: Habitus, side: int, yaw: float) -> list[Part]:
    """A shoulder blade with its spine: only the highest slices meet it."""
    x, y = habitus.blade
    centre = (side * x, y, 150.0)
    plate = Ellipsoid(centre, (42, 3.6, 72), yaw=-side * yaw)
    ridge = Ellipsoid((centre[0] + side * 8, centre[1] + 8, 168), (26, 4, 18), yaw=-side * (yaw + 0.5))
    return _bone([plate, ridge], habitus, 1.3, 250)

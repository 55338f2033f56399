"""What lies between the lungs: heart, great vessels, gullet, windpipe, and the fat they are bedded in."""

import math
from typing import NamedTuple

from numpy.random import Generator

from .combine import Grown
from .habitus import Habitus
from .lungs import AIRWAY, AIRWAY_WALL
from .render import Part, Tissue
from .shapes import Ellipsoid, Vec, rod

FAT = Tissue(-88, 14)
PERICARDIUM = Tissue(20, 12)
PLAQUE = Tissue(750, 60)
GULLET = Tissue(35, 13)
GULLET_GAS = Tissue(-700, 30)


class Tube(NamedTuple):
    """A stretch of vessel or airway; `wall_mm` of AIRWAY_WALL round it, where it has one."""

    points: list[Vec]
    radii: list[float]
    filling: Tissue
    wall_mm: float = 0.0


def mediastinum(habitus: Habitus, rng: Generator) -> list[Part]:
    """Beds of fat first, then the heart, then what they hold, so that no bed cuts into a neighbour."""
    tubes = [*_great_vessels(habitus), _gullet(habitus), *_windpipe(habitus)]
    pieces = [(piece, tube) for tube in tubes for piece in rod(tube.points, tube.radii)]
    parts = [Part(Grown(piece, tube.wall_mm + 2.5), FAT, habitus.cavity) for piece, tube in pieces]
    parts += _heart(habitus)
    parts += [Part(Grown(piece, tube.wall_mm), AIRWAY_WALL) for piece, tube in pieces if tube.wall_mm]
    parts += [Part(piece, tube.filling) for piece, tube in pieces]
    return [*parts, _gullet_gas(habitus), *_plaques(_aorta(habitus), habitus, rng)]


def _heart(habitus: Habitus) -> list[Part]:
    """Pericardial fat, muscle, and four chambers of blood; its axis points to the left and forwards."""
    size = habitus.heart_size * habitus.cavity.half_depth / 76
    turn = -0.55
    room = Grown(habitus.cavity, -4)
    contrast = max(0.0, habitus.blood_hu - 45)
    muscle = Tissue(46 + 0.28 * contrast, 14)
    left, right = Tissue(habitus.blood_hu, 13), Tissue(42 + 0.85 * contrast, 13)

    def ovoid(at: Vec, radii: Vec) -> Ellipsoid:
        x, y, z = (middle + size * offset for middle, offset in zip(habitus.heart, at, strict=True))
        return Ellipsoid((x, y, z), (size * radii[0], size * radii[1], size * radii[2]), turn)

    sac = Grown(ovoid((0, 1, 0), (60, 42, 50)), 1 + 3 * habitus.visceral)
    return [
        Part(Grown(sac, 1.2), PERICARDIUM, Grown(room, 2)),
        Part(sac, FAT, Grown(room, 2)),
        Part(ovoid((20, 3, -5), (43, 30, 42)), muscle, room),
        Part(ovoid((-4, -20, -5), (46, 22, 38)), muscle, room),
        Part(ovoid((-36, 2, 6), (25, 28, 34)), muscle, room),
        Part(ovoid((0, 27, 14), (36, 18, 28)), muscle, room),
        Part(ovoid((24, 3, -4), (31, 17, 31)), left, room),
        Part(ovoid((-4, -21, -4), (42, 18, 34)), right, room),
        Part(ovoid((-36, 2, 6), (23, 25, 31)), right, room),
        Part(ovoid((0, 27, 14), (34, 16, 25)), left, room),
    ]


def _great_vessels(habitus: Habitus) -> list[Tube]:
    """Caval vein, pulmonary arteries, ascending aorta and arch with its three branches, descending aorta."""
    blood = Tissue(habitus.blood_hu * 1.03, 12)
    vein = Tissue(habitus.blood_hu * 0.9 + 5, 12)
    wide = _aorta_mm(habitus)
    arch = [wide + 1.5, wide + 0.5, wide, wide]
    chest: list[Tube] = [
        Tube([(-22, -14, 175), (-22, -14, 130), (-24, -14, 90), (-24, -12, 50)], [8.5, 9.0, 10.0, 11], vein),
        Tube([(8, -42, 60), (14, -30, 84), (4, -9, 90), (-38, -2, 80)], [13.0, 13.5, 11.0, 8.0], blood),
        Tube([(14, -30, 84), (30, -4, 90), (44, 4, 84)], [12.0, 10.5, 8.0], blood),
        Tube([(0, -18, 45), (-10, -26, 75), (-11, -26, 105)], [14.0, wide + 2, wide + 1.5], blood),
        Tube([(-11, -26, 105), (-2, -20, 119), (12, 2, 124), (21, 22, 116)], arch, blood),
        Tube([(-6, -18, 122), (-15, -22, 175)], [6.5, 6.0], blood),
        Tube([(7, -10, 124), (10, -18, 175)], [4.8, 4.3], blood),
        Tube([(14, 8, 124), (22, 0, 175)], [5.3, 4.8], blood),
    ]
    forwards = habitus.spine(90)[1] - 46
    moved = [tube._replace(points=[(x, y + forwards, z) for x, y, z in tube.points]) for tube in chest]
    return [*moved, _aorta(habitus)]


def _aorta_mm(habitus: Habitus) -> float:
    return 12 + 3.5 * habitus.calcium


def _aorta(habitus: Habitus) -> Tube:
    """The descending aorta: at the chest's level to the left of the spine, in the abdomen before it."""
    points: list[Vec] = [(21.0, habitus.spine(90)[1] - 24, 116.0)]
    for z in range(96, -201, -24):
        x, y = habitus.spine(z)
        beside = min(1.0, max(0.0, (z + 100) / 160))
        points.append((x + 7 + 17 * beside, y - 15 * beside - 27 * (1 - beside), float(z)))
    radii = [_aorta_mm(habitus) - 0.28 * step for step in range(len(points))]
    return Tube(points, radii, Tissue(habitus.blood_hu * 1.03, 12))


def _plaques(aorta: Tube, habitus: Habitus, rng: Generator) -> list[Part]:
    """Calcified plaques in the wall of the descending aorta, more with age."""
    parts: list[Part] = []
    for _ in range(int(60 * habitus.calcium)):
        step = int(rng.integers(1, len(aorta.points)))
        angle, (x, y, z), radius = rng.uniform(0, 2 * math.pi), aorta.points[step], aorta.radii[step]
        at = (x + radius * math.cos(angle), y + radius * math.sin(angle), z + rng.uniform(-12, 12))
        parts.append(Part(Ellipsoid(at, (1.0, rng.uniform(1.5, 4), rng.uniform(2, 6)), yaw=angle), PLAQUE))
    return parts


def _gullet(habitus: Habitus) -> Tube:
    """Before the spine, and to the left on its way to the stomach."""
    points: list[Vec] = []
    for z in range(175, -26, -25):
        x, y = habitus.spine(z)
        points.append((x * 0.5 + 6 + max(0, 30 - z) * 0.3, y - 23, float(z)))
    return Tube(points, [7.0] * len(points), GULLET)


def _gullet_gas(habitus: Habitus) -> Part:
    x, y = habitus.spine(100)
    return Part(Ellipsoid((x * 0.5 + 6, y - 23.5, 100), (3.0, 2.0, 30)), GULLET_GAS, opacity=0.8)


def _windpipe(habitus: Habitus) -> list[Tube]:
    """Trachea and main bronchi; the right one is the wider and the steeper."""
    y = habitus.spine(90)[1] - 39
    forks: tuple[tuple[list[Vec], list[float]], ...] = (
        ([(-2, y - 4, 180), (-1, y, 100)], [9.0, 9.0]),
        ([(-1, y, 100), (-22, y, 84), (-40, y + 2, 74)], [8.0, 7.0, 5.5]),
        ([(-1, y, 100), (22, y + 2, 80), (40, y + 2, 72)], [7.5, 6.0, 5.0]),
    )
    return [Tube(points, radii, AIRWAY, wall_mm=1.5) for points, radii in forks]

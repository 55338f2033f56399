"""What lies under the diaphragm: liver, spleen, stomach, kidneys, pancreas, bowel, and fat between them."""

import math

from numpy.random import Generator

from .combine import Both, Grown
from .habitus import Habitus
from .render import Part, Tissue
from .shapes import Ellipsoid, InFront, Shape, Vec, rod
from .vessels import tree

VISCERAL_FAT = Tissue(-104, 12)
MUSCLE = Tissue(52, 14)
BOWEL_WALL = Tissue(45, 15)
BILE = Tissue(8, 9)
GAS = Tissue(-960, 15)
CYST = Tissue(5, 9)


def abdomen(habitus: Habitus, rng: Generator) -> list[Part]:
    """The organs below the diaphragm, in the order they are laid down."""
    return [
        *_bowel(habitus, rng),
        *_psoas(habitus),
        *_kidneys(habitus, rng),
        *_spleen_and_stomach(habitus, rng),
        *_pancreas(habitus, rng),
        *_liver(habitus, rng),
    ]


def _enhanced(habitus: Habitus, plain: float, share: float) -> float:
    """HU of a tissue that takes up `share` of the blood's contrast."""
    return plain + share * max(0.0, habitus.blood_hu - 45)


def _domes(habitus: Habitus) -> tuple[Ellipsoid, Ellipsoid, Ellipsoid]:
    """The right dome, the lower left one, and what closes the gap between them further down."""
    a, b = habitus.cavity.half_width, habitus.cavity.half_depth
    right = Ellipsoid((-a * 0.5, -6, -170), (a * 0.68, b * 1.18, 170))
    left = Ellipsoid((a * 0.5, -4, -180), (a * 0.68, b * 1.15, 166))
    return right, left, Ellipsoid((0, 0, -330), (a * 2, b * 2, 262))


def diaphragm(habitus: Habitus) -> list[Part]:
    """Two domes of muscle, filled with fat until the organs come."""
    domes = _domes(habitus)
    muscle = [Part(Grown(dome, 2.5), MUSCLE, habitus.cavity) for dome in domes]
    return muscle + [Part(dome, VISCERAL_FAT, Grown(habitus.cavity, -1.5)) for dome in domes]


def _liver(habitus: Habitus, rng: Generator) -> list[Part]:
    """Right and left lobe, vessels brighter or darker than the tissue, gallbladder, lesions."""
    a, b = habitus.cavity.half_width, habitus.cavity.half_depth
    room = Grown(habitus.cavity, -3)
    size = rng.uniform(0.94, 1.08)
    tissue = Tissue(_enhanced(habitus, rng.uniform(50, 64), 0.25), 13)
    bulk = Ellipsoid((-a * 0.5, -2, -62), (a * 0.62, b * 1.08, 72 * size), lean=(0.15, 0.0))
    right = Both(bulk, _domes(habitus)[0])
    left = Ellipsoid((a * 0.08, -b * 0.52, -48 * size), (a * 0.52 * size, b * 0.42, 38 * size), yaw=-0.12)
    lobes: list[Shape] = [right, left]
    porta = (-a * 0.2, 0.0, -70.0)
    vessel = Tissue(_enhanced(habitus, 40, 0.75), 12)
    roots: list[tuple[Vec, Vec, float]] = [
        (porta, (-1, -0.2, 0.5), 5.5),
        (porta, (-1, 0.6, -0.4), 5.0),
        ((-a * 0.2, 18, -28), (-1, -0.3, -0.5), 5.0),
        ((-a * 0.2, 14, -28), (-0.4, -1, -0.5), 4.5),
    ]
    parts = [Part(lobe, tissue, room) for lobe in lobes]
    parts += [part for part in tree(rng, roots, Grown(right, -4), vessel, 4.8) if part.opacity > 0.85]
    parts += [_lesion(habitus, rng, bulk, room) for _ in range(rng.integers(0, 5))]
    vein = rod(
        [(-20, habitus.spine(-10)[1] - 30, 15), (-20, habitus.spine(-200)[1] - 26, -200)], [12.0, 11.0]
    )
    gallbladder = Ellipsoid((-a * 0.3, -b * 0.42, -112), (14, 19, 30), yaw=0.4)
    parts += [Part(Grown(gallbladder, 1.5), BOWEL_WALL), Part(gallbladder, BILE)]
    return parts + [Part(shape, Tissue(_enhanced(habitus, 42, 0.5), 12)) for shape in vein]


def _lesion(habitus: Habitus, rng: Generator, lobe: Ellipsoid, room: Shape) -> Part:
    """A cyst or a solid lesion of 3 to 12 mm."""
    (x, y, z), (rx, ry, rz) = lobe.centre, lobe.radii
    at = (x + rx * rng.uniform(-0.6, 0.6), y + ry * rng.uniform(-0.6, 0.6), z + rz * rng.uniform(-0.7, 0.7))
    radius = rng.uniform(1.5, 6.0)
    solid = Tissue(_enhanced(habitus, 30, 0.1), 12)
    shape = Ellipsoid(at, (radius, radius * rng.uniform(0.8, 1.1), radius))
    return Part(shape, CYST if rng.random() < 0.5 else solid, room)


def _spleen_and_stomach(habitus: Habitus, rng: Generator) -> list[Part]:
    a, b = habitus.cavity.half_width, habitus.cavity.half_depth
    room = Grown(habitus.cavity, -3)
    spleen = Ellipsoid((a * 0.74, b * 0.28, -58), (a * 0.2, b * 0.5, 46 * rng.uniform(0.9, 1.15)), yaw=0.45)
    stomach = Ellipsoid((a * 0.42, -b * 0.18, -58), (a * 0.32, b * 0.52, 46), yaw=0.35, lean=(0.25, 0.1))
    lumen = Grown(stomach, -4)
    level = stomach.centre[1] - stomach.radii[1] * rng.uniform(0.0, 0.55)
    meal = Tissue(rng.choice([12.0, 35.0, 180.0]), 18)
    return [
        Part(stomach, Tissue(_enhanced(habitus, 45, 0.2), 14), room),
        Part(lumen, meal, room),
        Part(Both(lumen, InFront(level)), GAS, room),
        Part(spleen, Tissue(_enhanced(habitus, 50, 0.45), 12), room),
    ]


def _kidneys(habitus: Habitus, rng: Generator) -> list[Part]:
    parts: list[Part] = []
    cortex = Tissue(_enhanced(habitus, 34, 0.85), 13)
    medulla = Tissue(_enhanced(habitus, 30, 0.45), 13)
    for side in (-1, 1):
        x, y = habitus.spine(-130)
        place = (x + side * 60, y - 2 + rng.uniform(-3, 3), -128.0 + 8 * side)
        kidney = Ellipsoid(place, (27, 24, 54), yaw=-side * 0.7, lean=(-side * 0.2, 0.12))
        sinus = Ellipsoid((place[0] - side * 13, place[1] - 6, place[2]), (16, 9, 28), yaw=-side * 0.5)
        parts += [Part(kidney, cortex), Part(Grown(kidney, -6), medulla), Part(sinus, VISCERAL_FAT)]
        hilum = (place[0] - side * 14, place[1] - 8, place[2])
        renal = rod([hilum, (side * 12.0, y - 24, place[2] + 6)], [4.0, 4.5])
        parts += [Part(shape, Tissue(_enhanced(habitus, 42, 0.8), 12)) for shape in renal]
        if rng.random() < 0.4:
            at = (place[0] + side * 20, place[1] + rng.uniform(-10, 10), place[2] + rng.uniform(-30, 30))
            parts.append(Part(Ellipsoid(at, (rng.uniform(4, 12),) * 3), CYST, habitus.cavity))
    return parts


def _psoas(habitus: Habitus) -> list[Part]:
    parts = []
    for side in (-1, 1):
        low, high = habitus.spine(-220), habitus.spine(-90)
        points = [(low[0] + side * 40, low[1] - 4, -220.0), (high[0] + side * 22, high[1] + 4, -90.0)]
        parts += [Part(shape, MUSCLE) for shape in rod(points, [24.0, 7.0])]
    return parts


def _pancreas(habitus: Habitus, rng: Generator) -> list[Part]:
    y = habitus.spine(-100)[1]
    points: list[Vec] = [
        (-38, y - 48, -116),
        (-12, y - 52, -106),
        (18, y - 46, -98),
        (46, y - 30, -92),
        (66, y - 14, -84),
    ]
    tissue = Tissue(_enhanced(habitus, 38, 0.35), 20)
    return [Part(shape, tissue) for shape in rod(points, [14.0, 11.0, 10.0, 9.0, 7.0])]


def _bowel(habitus: Habitus, rng: Generator) -> list[Part]:
    """Small bowel in front, colon to the sides with gas above its contents."""
    a, b = habitus.cavity.half_width, habitus.cavity.half_depth
    room = Grown(habitus.cavity, -4 - 6 * habitus.visceral)
    parts: list[Part] = []
    contrast = rng.random() < 0.3
    for _ in range(int(9 - 4 * habitus.visceral)):
        at = (a * rng.uniform(-0.45, 0.6), b * rng.uniform(-0.85, -0.05), rng.uniform(-190, -110))
        parts += _loop(rng, at, rng.uniform(10, 14), Tissue(220 if contrast else 22, 16), 0.2, room)
    for x, z in ((-0.72, -150.0), (0.78, -135.0), (0.0, -132.0)):
        at = (a * x, b * (-0.35 if x else -0.72), z)
        parts += _loop(rng, at, rng.uniform(17, 22), Tissue(-120, 90), 0.8, room)
    return parts


def _loop(rng: Generator, at: Vec, radius: float, filling: Tissue, gassy: float, room: Shape) -> list[Part]:
    """A winding stretch of gut: wall, contents, and in some stretches gas above a level."""
    points, radii, heading = [at], [radius], rng.uniform(0, 2 * math.pi)
    for _ in range(5):
        heading += rng.normal(0, 0.8)
        x, y, z = points[-1]
        step = 1.4 * radius
        points.append(
            (x + step * math.cos(heading), y + 0.5 * step * math.sin(heading), z + rng.normal(0, 9))
        )
        radii.append(radius * rng.uniform(0.8, 1.1))
    tube = rod(points, radii)
    parts = [Part(shape, BOWEL_WALL, room) for shape in tube]
    parts += [Part(Grown(shape, -2.2), filling, room) for shape in tube]
    for shape in tube:
        if rng.random() < gassy:
            level = InFront(shape.box.low[1] + radius * rng.uniform(0.6, 1.4))
            parts.append(Part(Both(Grown(shape, -2.4), level), GAS, room))
    return parts

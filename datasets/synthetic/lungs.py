"""The lungs: parenchyma denser towards the back, vessels, bronchi, nodules."""

from numpy.random import Generator

from .combine import Both, Grown
from .habitus import Habitus
from .render import Part, Tissue
from .shapes import Capsule, Ellipsoid, Shape, Vec
from .vessels import tree

AIRWAY = Tissue(-985, 12)
AIRWAY_WALL = Tissue(10, 15)
HILUM_ROOTS = (
    ((0.4, -0.1, 1.0), 4.4),
    ((0.4, 0.9, 0.8), 4.2),
    ((0.5, -0.9, 0.8), 4.2),
    ((0.9, 0.3, 0.8), 4.0),
    ((0.9, -0.8, 0.1), 4.4),
    ((1.0, 0.3, 0.1), 4.0),
    ((0.3, 0.3, -1.0), 6.0),
    ((0.7, 0.1, -0.9), 5.4),
    ((0.5, -0.6, -0.9), 5.0),
    ((0.9, -0.7, -0.5), 4.2),
    ((0.8, 0.8, -0.5), 4.2),
    ((0.3, 0.9, -0.5), 4.6),
)
"""Where a lung's arteries and veins head from its hilum (outwards, back, up), and their radii in mm."""


def lung(habitus: Habitus, side: int) -> Shape:
    """The right (−1) or left (1) lung: what an ovoid shares with the chest's cavity."""
    a, b, size = habitus.cavity.half_width, habitus.cavity.half_depth, habitus.lung_size
    yaw = side * 0.16 * (1.1 - habitus.visceral)
    ovoid = Ellipsoid((side * a * 0.55, 4, 25), (a * 0.55 * size, b * 1.3, 158 * size), yaw)
    return Both(Grown(habitus.cavity, -1.5), ovoid)


def lungs(habitus: Habitus, rng: Generator) -> list[Part]:
    """Both lungs with all that runs in them."""
    parts: list[Part] = []
    blood = Tissue(habitus.blood_hu * 0.85, 15)
    for side in (-1, 1):
        organ = lung(habitus, side)
        parts.append(Part(organ, Tissue(habitus.lung_hu, 32)))
        parts += _dependent_density(habitus, organ)
        parts += tree(rng, _roots(side), organ, blood)
        parts += _bronchi(rng, side, organ)
        parts += [_nodule(rng, habitus, side, organ) for _ in range(rng.integers(0, 5))]
    return parts


def _dependent_density(habitus: Habitus, organ: Shape) -> list[Part]:
    """A patient on his back: blood and weight make the back of the lung denser, by tens of HU."""
    denser = Tissue(habitus.lung_hu + 130, 36)
    b, y = habitus.cavity.half_depth, habitus.cavity.centre_y
    layers = [Ellipsoid((0, y + b * 1.6, 0), (400, b * reach, 1e6)) for reach in (1.9, 1.6, 1.3, 1.05, 0.8)]
    return [Part(layer, denser, organ, 0.2) for layer in layers]


def _roots(side: int) -> list[tuple[Vec, Vec, float]]:
    """An artery and a vein set out in each direction."""
    return [
        ((side * 40.0, -4 + apart, 68 + 2 * apart), (side * out, back, up), radius)
        for (out, back, up), radius in HILUM_ROOTS
        for apart in (-4.0, 4.0)
    ]


def _bronchi(rng: Generator, side: int, organ: Shape) -> list[Part]:
    """The larger airways of a lung: a thin wall round air."""
    hilum = (side * 40.0, 0.0, 74.0)
    roots = [
        (hilum, (side * 0.5, -0.2, 1.0), 4.0),
        (hilum, (side * 0.7, -0.7, -0.1), 3.8),
        (hilum, (side * 0.5, 0.3, -1.0), 4.6),
    ]
    lumens = [
        Part(part.shape, AIRWAY, organ, 0.9)
        for part in tree(rng, roots, organ, AIRWAY)
        if isinstance(part.shape, Capsule) and part.shape.radii[0] > 1.7
    ]
    return [Part(Grown(part.shape, 0.9), AIRWAY_WALL, organ, 0.5) for part in lumens] + lumens


def _nodule(rng: Generator, habitus: Habitus, side: int, organ: Shape) -> Part:
    """A nodule of 3 to 12 mm somewhere in the lung, solid or, sometimes, calcified."""
    a, b = habitus.cavity.half_width, habitus.cavity.half_depth
    place = (side * a * rng.uniform(0.35, 0.85), b * rng.uniform(-0.6, 0.6), rng.uniform(-30, 150))
    radius = rng.uniform(1.5, 6.0)
    shape = Ellipsoid(place, (radius, radius * rng.uniform(0.75, 1.1), radius), yaw=rng.uniform(0, 3))
    return Part(shape, Tissue(400, 40) if rng.random() < 0.15 else Tissue(rng.uniform(10, 70), 15), organ)

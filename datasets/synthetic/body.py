"""The wall of the body and what it lies on: couch, skin, fat, breasts, the muscles of the trunk."""

import math

from numpy.random import Generator

from .combine import Grown, Lining, Without
from .habitus import Habitus
from .render import Part, Tissue
from .shapes import Ellipsoid, Shape

AIR = Tissue(-1000, 5)
FOAM = Tissue(-945, 8)
CARBON = Tissue(300, 20)
SKIN = Tissue(25, 12)
FAT = Tissue(-102, 11)
GLAND = Tissue(5, 16)
MUSCLE = Tissue(54, 15)
FASCIA = Tissue(-70, 14)
UPRIGHT = 1e6
"""Half height of what is the same in every slice."""


def couch(top_mm: float) -> list[Part]:
    """A curved couch of foam in a carbon shell, in the scanner's frame; the back touches it at `top_mm`."""
    above = Ellipsoid((0, top_mm - 420, 0), (420, 420, UPRIGHT))
    tray = Without(Ellipsoid((0, top_mm - 178, 0), (208, 208, UPRIGHT)), above)
    return [Part(tray, CARBON), Part(Grown(tray, -2.0), FOAM)]


def wall(habitus: Habitus, rng: Generator) -> list[Part]:
    """Skin, fat, and the muscles of the trunk, each in its fascia."""
    skin = habitus.skin
    parts = [Part(skin, SKIN)]
    if habitus.female:
        parts += [part for side in (-1, 1) for part in _breast(habitus, side, rng)]
    parts.append(Part(Grown(skin, -1.8), FAT))
    return parts + _sheets(habitus) + _chest_wall(habitus) + _columns(habitus)


def _breast(habitus: Habitus, side: int, rng: Generator) -> list[Part]:
    """One breast, flattened and fallen to the side as in a patient on her back."""
    size = rng.uniform(0.8, 1.15) * (0.8 + habitus.fat / 60)
    x, y = side * habitus.half_width * 0.56, habitus.skin.centre_y - habitus.skin.half_depth * 0.84
    breast = Ellipsoid((x, y, 62), (60 * size, 27 * size, 62 * size), yaw=side * 0.35)
    gland = Ellipsoid((x, y + 2, 62), (32 * size, 15 * size, 32 * size), yaw=side * 0.35)
    faint = rng.uniform(0.3, 0.9)
    return [Part(breast, SKIN), Part(Grown(breast, -1.8), FAT), Part(gland, GLAND, opacity=faint)]


def _sheets(habitus: Habitus) -> list[Part]:
    """The outer muscles: where each of these regions meets the rim of the trunk, the rim is muscle."""
    muscle = habitus.muscle
    a, b = habitus.half_width, habitus.half_depth
    parts: list[Part] = []
    for side in (-1, 1):
        regions: tuple[tuple[Shape, float], ...] = (
            (Ellipsoid((side * a * 0.98, b * 0.3, 80), (a * 0.46, b * 0.8, 150)), 15.0),
            (Ellipsoid((side * a * 0.55, -b * 0.92, 118), (a * 0.58, b * 0.6, 72)), 12.0),
            (Ellipsoid((side * a * 0.45, b * 0.95, 120), (a * 0.66, b * 0.4, 150)), 8.0),
            (Ellipsoid((side * a * 0.95, -b * 0.05, -120), (a * 0.75, b * 0.95, 110)), habitus.wall * 0.9),
            (Ellipsoid((side * a * 0.24, -b * 0.95, -110), (a * 0.24, b * 0.4, 120)), 10.0),
        )
        for region, thick in regions:
            parts.append(Part(Lining(muscle, region, thick), MUSCLE))
    return parts


def _chest_wall(habitus: Habitus) -> list[Part]:
    """The layer that holds the ribs, and in the abdomen the innermost of the flat muscles."""
    cavity = habitus.cavity
    return [Part(Grown(cavity, 8.5), MUSCLE), Part(Grown(cavity, 1.0), FASCIA, opacity=0.5)]


def _columns(habitus: Habitus) -> list[Part]:
    """The muscles beside the spine and those round the shoulder blades."""
    x, y = habitus.spine(20)
    blade_x, blade_y = habitus.blade
    parts: list[Part] = []
    for side in (-1, 1):
        bellies = (
            Ellipsoid((x + side * 26, y + 43, 0), (25, 14, UPRIGHT), yaw=side * 0.1),
            Ellipsoid((side * (blade_x + 2), blade_y - 9, 160), (40, 11, 80), yaw=-side * 0.55),
            Ellipsoid((side * (blade_x + 6), blade_y + 11, 160), (42, 10, 80), yaw=-side * 0.55),
        )
        for belly in bellies:
            parts += [Part(Grown(belly, 1.5), FASCIA, habitus.muscle), Part(belly, MUSCLE, habitus.muscle)]
    return parts


def back_mm(habitus: Habitus) -> float:
    """How far behind the body's centre the skin of the back lies."""
    return habitus.skin.centre_y + habitus.skin.half_depth


def width_mm(habitus: Habitus) -> float:
    """The breadth of the body at its broadest, turned as it lies."""
    half = habitus.skin.half_width * max(habitus.skin.widths)
    return 2 * math.hypot(half * math.cos(habitus.turn), habitus.skin.half_depth * math.sin(habitus.turn))

"""What makes one patient unlike the next: build, organs' places, contrast, bone. Drawn once, then read."""

import math
from dataclasses import dataclass
from functools import cached_property

from numpy.random import Generator

from .shapes import Trunk, Vec

LEVELS = (-170.0, -70.0, 30.0, 100.0, 170.0)
"""Heights of the outlines' scale factors, mm above the dome of the right diaphragm."""


@dataclass(frozen=True)
class Habitus:
    """One patient's build. Lengths in mm, HU for densities, z = 0 at the dome of the right diaphragm."""

    female: bool
    half_width: float
    half_depth: float
    fat: float
    wall: float
    visceral: float
    lung_hu: float
    lung_size: float
    heart: Vec
    heart_size: float
    blood_hu: float
    calcium: float
    bone: float
    scoliosis: float
    scoliosis_phase: float
    turn: float
    shift: tuple[float, float]

    @cached_property
    def skin(self) -> Trunk:
        """The outline of the body; the belly's fat lies in front."""
        widths = (1.0, 0.98, 1.0, 1.04, 1.1)
        belly = self.fat * 0.25
        a, b = self.half_width + self.fat, self.half_depth + self.fat * 0.85 + belly
        return Trunk(a, b, -belly, LEVELS, widths, (1.0, 1.0, 1.0, 0.97, 0.9))

    @cached_property
    def muscle(self) -> Trunk:
        """The outline of the muscle, below the fat."""
        widths = (0.98, 0.97, 1.0, 1.05, 1.14)
        return Trunk(self.half_width, self.half_depth, 0.0, LEVELS, widths, (0.98, 1.0, 1.0, 0.97, 0.9))

    @cached_property
    def cavity(self) -> Trunk:
        """The inside of the chest and abdominal wall, thicker behind than in front."""
        a, b = self.half_width - self.wall, self.half_depth - self.wall * 1.05
        widths, depths = (0.96, 1.0, 1.0, 0.9, 0.66), (1.0, 1.02, 1.0, 0.93, 0.76)
        return Trunk(a, b, -self.wall * 0.4, LEVELS, widths, depths, exponent=2.2)

    def spine(self, z: float) -> tuple[float, float]:
        """(x, y) of the middle of the vertebral bodies at height z: scoliosis and the natural curves."""
        x = self.scoliosis * math.sin(z / 90 + self.scoliosis_phase)
        behind = self.cavity.centre_y + self.cavity.half_depth
        return x, behind - 31 + 5 * math.sin((z + 60) / 110)

    @cached_property
    def blade(self) -> tuple[float, float]:
        """(x, y) of the middle of the left shoulder blade, between the ribs and the back's muscles."""
        x, y = self.cavity.rim(0.95, 150)
        return x + 22, y + 17


def draw_habitus(rng: Generator) -> Habitus:
    """One build out of many: slim to obese, unenhanced or contrast-enhanced, young bone or old."""
    female = bool(rng.random() < 0.5)
    size = rng.normal(0.97 if female else 1.04, 0.05)
    enhanced = rng.random() < 0.6
    age = rng.random()
    fat = float(min(34.0, rng.gamma(4.0, 3.6) + 5))
    return Habitus(
        female=female,
        half_width=145 * size * rng.uniform(0.94, 1.05),
        half_depth=98 * size * rng.uniform(0.93, 1.1),
        fat=fat,
        wall=rng.uniform(17, 23),
        visceral=rng.uniform(0.3, 1.0),
        lung_hu=rng.uniform(-870, -770),
        lung_size=rng.uniform(0.92, 1.06),
        heart=(rng.uniform(14, 28), rng.uniform(-36, -26), rng.uniform(24, 40)),
        heart_size=rng.uniform(0.85, 1.12) + 0.1 * age,
        blood_hu=rng.uniform(110, 240) if enhanced else rng.uniform(38, 50),
        calcium=max(0.0, age - 0.35),
        bone=1.15 - 0.5 * age,
        scoliosis=rng.normal(0, 5),
        scoliosis_phase=rng.uniform(0, 2 * math.pi),
        turn=math.radians(rng.normal(0, 3)),
        shift=(float(rng.normal(0, 6)), float(rng.normal(0, 5))),
    )

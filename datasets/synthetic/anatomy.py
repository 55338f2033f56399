"""One synthetic patient, drawn in HU: build first, then organs from the couch inwards, slice by slice."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from ctrobust.core.seeds import derive_seed

from .abdomen import abdomen, diaphragm
from .body import AIR, back_mm, couch, wall, width_mm
from .habitus import Habitus, draw_habitus
from .lungs import lungs
from .mediastinum import FAT, mediastinum
from .render import Grid, Part, heights, render
from .skeleton import skeleton
from .texture import Warp, grain

LOWEST_MM, HIGHEST_MM = -150.0, 150.0
"""What the anatomy covers: from the kidneys to the aortic arch's branches, z = 0 at the diaphragm's dome."""
WARP_MM = 4.0
FAINTEST_HU, BRIGHTEST_HU = -1023.0, 3000.0
"""Kept within what 12 bits with an intercept of −1024 can hold."""


@dataclass(frozen=True)
class Patient:
    """One patient as scanned.

    volume_hu     (slices, size, size) float32, HU; slices from the feet up, rows front to back
    pixel_mm      side of the square pixels
    spacing_mm    between slice centres
    thickness_mm  of each slice
    positions_mm  height of each slice's centre, ascending; 0 is the dome of the right diaphragm
    female        as drawn
    """

    volume_hu: NDArray[np.float32]
    pixel_mm: float
    spacing_mm: float
    thickness_mm: float
    positions_mm: tuple[float, ...]
    female: bool


def draw_patient(seed: int, slices: int, size: int) -> Patient:
    """Draw `slices` axial slices of `size` × `size` pixels of the patient that `seed` stands for.

    Raises ValueError when `slices` < 1 or `size` < 16.
    """
    if slices < 1 or size < 16:
        raise ValueError(f"slices {slices}, size {size}: at least 1 slice of 16 pixels is needed")
    rng = default_rng(derive_seed(seed, "patient"))
    habitus = draw_habitus(rng)
    positions, spacing = _positions(rng, slices)
    pixel_mm = _field_of_view(habitus, rng) / size
    blur_px = rng.uniform(0.45, 0.75) / pixel_mm
    thickness = min(float(rng.choice([3.0, 5.0, 8.0])), spacing)
    noise = rng.uniform(0.8, 1.25) * math.sqrt(5 / thickness) ** 0.5
    warp = Warp(rng, WARP_MM)
    table = couch(back_mm(habitus) + habitus.shift[1] - 1)
    body = compose(habitus, rng)
    table_reach, body_reach = heights(table), heights(body)
    volume = np.empty((slices, size, size), dtype=np.float32)
    for index, z in enumerate(positions):
        under = np.full((size, size), AIR.hu, np.float32), np.full((size, size), AIR.grain, np.float32)
        scanner = _grid(size, pixel_mm)
        render(table, table_reach, scanner, z, under)
        render(body, body_reach, _body_grid(scanner, habitus, warp, z), z, under)
        hu, coarseness = under
        texture = grain(default_rng(derive_seed(seed, "texture", index)), size, pixel_mm)
        seen = gaussian_filter(hu, blur_px) + np.float32(noise) * coarseness * texture
        volume[index] = np.clip(seen, FAINTEST_HU, BRIGHTEST_HU)
    return Patient(volume, pixel_mm, spacing, thickness, positions, habitus.female)


def compose(habitus: Habitus, rng: Generator) -> list[Part]:
    """Every part of one body, in the order they are laid over one another."""
    return [
        *wall(habitus, rng),
        Part(habitus.cavity, FAT),
        *lungs(habitus, rng),
        *diaphragm(habitus),
        *mediastinum(habitus, rng),
        *abdomen(habitus, rng),
        *skeleton(habitus, rng),
    ]


def _positions(rng: Generator, slices: int) -> tuple[tuple[float, ...], float]:
    """Heights of the slices and their spacing; a long scan is packed closer rather than cut short."""
    span = HIGHEST_MM - LOWEST_MM
    spacing = min(round(rng.uniform(8, 12), 1), span / slices)
    lowest = LOWEST_MM + rng.random() * (span - spacing * (slices - 1))
    return tuple(round(lowest + spacing * index, 3) for index in range(slices)), spacing


def _field_of_view(habitus: Habitus, rng: Generator) -> float:
    """Side of the image in mm: as a radiographer sets it, the body with a margin, in whole centimetres."""
    return float(np.clip(10 * round(width_mm(habitus) * rng.uniform(1.06, 1.16) / 10), 300, 440))


def _grid(size: int, pixel_mm: float) -> Grid:
    """Pixel centres in the scanner's frame, the origin in the middle of the image."""
    line = ((np.arange(size) - (size - 1) / 2) * pixel_mm).astype(np.float32)
    x, y = np.meshgrid(line, line)
    return Grid(x, y, pixel_mm)


def _body_grid(scanner: Grid, habitus: Habitus, warp: Warp, z: float) -> Grid:
    """The same pixels as the body sees them: moved, turned, gently warped."""
    cos, sin = np.float32(math.cos(habitus.turn)), np.float32(math.sin(habitus.turn))
    x, y = scanner.x - np.float32(habitus.shift[0]), scanner.y - np.float32(habitus.shift[1])
    x, y = warp(cos * x + sin * y, cos * y - sin * x, z)
    return Grid(x, y, scanner.pixel_mm, habitus.turn, habitus.shift, warp.reach_mm * math.sqrt(2))

"""Trees of vessels and airways, grown generation by generation inside an organ."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .render import Part, Tissue
from .shapes import Capsule, Shape, Vec

THINNEST_MM = 0.55
NARROWING = 0.79
"""A parent's flow shared by two children of equal radius: r³ = 2 r'³ (Murray)."""


def tree(
    rng: Generator, roots: list[tuple[Vec, Vec, float]], organ: Shape, tissue: Tissue, reach: float = 4.5
) -> list[Part]:
    """Branches from `roots` (start, heading, radius in mm), about `reach` radii long, within `organ`.

    What is thinner than a slice is thick is seen against its surroundings only in part: hence the opacity.
    """
    starts = np.array([root[0] for root in roots], dtype=np.float64)
    headings = np.array([root[1] for root in roots], dtype=np.float64)
    radii = np.array([root[2] for root in roots], dtype=np.float64)
    parts: list[Part] = []
    while len(radii):
        ends, headings, kept = _ends(rng, starts, headings, radii * reach + 4, organ)
        starts, ends, headings, radii = starts[kept], ends[kept], headings[kept], radii[kept]
        for a, b, radius in zip(starts.tolist(), ends.tolist(), radii.tolist(), strict=True):
            rod = Capsule((a[0], a[1], a[2]), (b[0], b[1], b[2]), (radius, radius * NARROWING))
            parts.append(Part(rod, tissue, organ, min(1.0, 0.35 + 0.4 * radius)))
        starts, headings = np.repeat(ends, 2, axis=0), np.repeat(headings, 2, axis=0)
        radii = np.repeat(radii, 2) * NARROWING * rng.uniform(0.85, 1.1, 2 * len(radii))
        thick = radii > THINNEST_MM
        starts, headings, radii = starts[thick], headings[thick], radii[thick]
    return parts


def _ends(
    rng: Generator,
    starts: NDArray[np.float64],
    headings: NDArray[np.float64],
    lengths: NDArray[np.float64],
    organ: Shape,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Where each branch ends, its heading, and whether it stays in the organ; three headings are tried."""
    ends, chosen = starts.copy(), headings.copy()
    kept = np.zeros(len(starts), dtype=bool)
    lengths = lengths * rng.uniform(0.7, 1.3, len(lengths))
    for bend in (0.32, 0.6, 1.0):
        trial = headings + bend * rng.standard_normal(headings.shape)
        trial /= np.linalg.norm(trial, axis=1, keepdims=True)
        tips = starts + trial * lengths[:, None]
        x, y, z = tips.T.astype(np.float32)
        fits = ~kept & (organ.distance(x, y, z) < -2)
        ends[fits], chosen[fits] = tips[fits], trial[fits]
        kept |= fits
    return ends, chosen, kept

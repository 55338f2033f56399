"""Small structures to put into an image: nodules and letters, each pixel by the share that it covers."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray
from skimage.draw import polygon2mask
from torch import Tensor

Array = NDArray[np.float64]
Centre = tuple[float, float]
"""Row and column in pixels; the centre of pixel (i, j) is (i, j), its edges half a pixel away."""


class Structure(Protocol):
    """Something of a contrast that can be drawn anywhere."""

    @property
    def reach_mm(self) -> float:
        """How far it goes from its centre."""

    def draw(self, shape: tuple[int, int], centre: Centre, pixel_mm: float) -> Tensor:
        """s, (H, W) float64 in the units of x: 1 is 1000 HU, and x + s holds the structure."""


@dataclass(frozen=True)
class Nodule:
    """A sphere in a slice through its middle.

        s = contrast/1000 · (the share of the pixel × slice_mm of tissue that lies within the sphere)

    slice_mm → 0 gives a disc of the full diameter; a slice thicker than the nodule dilutes its contrast, as partial
    volumes do. Raises ValueError on a diameter or thickness that nothing has.
    """

    diameter_mm: float
    contrast_hu: float
    slice_mm: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.diameter_mm < np.inf or not 0 <= self.slice_mm < np.inf:
            raise ValueError(
                f"diameter_mm {self.diameter_mm!r}, slice_mm {self.slice_mm!r}: give a diameter above 0, a slice "
                "of 0 or more"
            )

    @property
    def reach_mm(self) -> float:
        return self.diameter_mm / 2

    def draw(self, shape: tuple[int, int], centre: Centre, pixel_mm: float) -> Tensor:
        """See `Structure.draw`."""
        radius, half = self.diameter_mm / 2, self.slice_mm / 2
        inside = min(half, radius)
        nodes, weights = np.polynomial.legendre.leggauss(16) if inside else (np.zeros(1), np.full(1, 2.0))
        # The sphere is a stack of discs; above and below it the slice is empty.
        covered = sum(
            weight / 2 * disc(shape, centre, np.sqrt(radius**2 - (node * inside) ** 2) / pixel_mm)
            for node, weight in zip(nodes, weights, strict=True)
        )
        filled = inside / half if half else 1.0
        return torch.from_numpy(self.contrast_hu / 1000 * filled * np.asarray(covered))


SUBROWS = 64


def disc(shape: tuple[int, int], centre: Centre, radius: float) -> Array:
    """(H, W) share of each pixel within a disc, in pixels: chords exact across, the midpoint rule down."""
    covered = np.zeros(shape)
    first, last = max(0, round(centre[0] - radius)), min(shape[0] - 1, round(centre[0] + radius))
    if last < first:
        return covered
    down = np.arange(first * SUBROWS, (last + 1) * SUBROWS) / SUBROWS + 0.5 / SUBROWS - 0.5
    half = np.sqrt(np.maximum(radius**2 - (down - centre[0]) ** 2, 0))[:, None]
    across = np.arange(shape[1])
    left, right = np.maximum(across - 0.5, centre[1] - half), np.minimum(across + 0.5, centre[1] + half)
    chords = np.maximum(right - left, 0)
    covered[first : last + 1] = chords.reshape(-1, SUBROWS, shape[1]).mean(1)
    return covered


@dataclass(frozen=True)
class Letters:
    """Text in DejaVu Sans, which Matplotlib brings along; height_mm from its lowest to its highest point.

    The small change by which Antun et al. tried f. Raises ValueError on a height below 0 and on text without ink.
    """

    text: str
    height_mm: float
    contrast_hu: float

    def __post_init__(self) -> None:
        if not self.text.strip() or not 0 < self.height_mm < np.inf:
            raise ValueError(
                f"text {self.text!r}, height_mm {self.height_mm!r}: give letters, and a height above 0"
            )

    @property
    def reach_mm(self) -> float:
        box = self._path().get_extents()
        return float(np.hypot(box.width, box.height) / box.height * self.height_mm / 2)

    def draw(self, shape: tuple[int, int], centre: Centre, pixel_mm: float) -> Tensor:
        """See `Structure.draw`."""
        path, fine = self._path(), 16
        box = path.get_extents()
        reach = int(np.ceil(self.reach_mm / pixel_mm)) + 1
        corner = np.round(centre).astype(int) - reach
        # The canvas counts sub-pixels from its corner's edge, x across and y down.
        place = fine * (np.asarray(centre) - corner + 0.5) - 0.5
        scale = fine * self.height_mm / pixel_mm / box.height
        middle = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
        onto = Affine2D().translate(-middle[0], -middle[1]).scale(scale, -scale).translate(place[1], place[0])
        canvas = np.zeros((fine * (2 * reach + 1),) * 2, bool)
        for polygon in path.to_polygons(onto):
            canvas ^= polygon2mask(canvas.shape, np.asarray(polygon)[:, ::-1])
        share = canvas.reshape(2 * reach + 1, fine, 2 * reach + 1, fine).mean((1, 3))
        drawn = np.zeros(shape)
        (top, left), (bottom, right) = np.maximum(corner, 0), np.minimum(corner + 2 * reach + 1, shape)
        if top < bottom and left < right:
            cut = share[top - corner[0] : bottom - corner[0], left - corner[1] : right - corner[1]]
            drawn[top:bottom, left:right] = cut
        return torch.from_numpy(self.contrast_hu / 1000 * drawn)

    def _path(self) -> TextPath:
        return TextPath((0, 0), self.text, size=100, prop=FontProperties(family="DejaVu Sans"))

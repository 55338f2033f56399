"""How an image is shown and its error written: CT in Hounsfield units, pictures in their own pixels from 0 to 1."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctrobust.core.units import hu_from_relative
from ctrobust.report.numbers import MINUS

Pixels = NDArray[np.float64]


@dataclass(frozen=True)
class Window:
    """A grey scale in HU, or of pictures from 0 to 1."""

    name: str
    low: float
    high: float
    in_hu: bool = True

    def __str__(self) -> str:
        if not self.in_hu:
            return f"{self.low:g} to {self.high:g}"
        width, level = self.high - self.low, (self.high + self.low) / 2
        text = f"{self.name} window, W {width:.0f} L {level:.0f} HU ({self.low:.0f} to {self.high:.0f})"
        return text.replace("-", MINUS)


def choose_window(hu: Pixels) -> Window:
    """Lung where a fifth of the body is that, soft tissue where half is, else an overview. hu: (H, W)."""
    body = hu[_inside_body(hu)]
    if body.size and np.mean((body > -970) & (body < -500)) > 0.2:
        return Window("lung", -1350, 150)
    if body.size and np.mean((body > -160) & (body < 240)) > 0.5:
        return Window("soft tissue", -160, 240)
    return Window("overview", -1000, 1000)


def _inside_body(hu: Pixels) -> NDArray[np.bool_]:
    """Pixels with tissue on all four sides: the air around a patient must not count as lung."""
    tissue = hu > -300
    inside = np.ones_like(tissue)
    for axis in (0, 1):
        before = np.maximum.accumulate(tissue, axis=axis)
        after = np.flip(np.maximum.accumulate(np.flip(tissue, axis), axis=axis), axis)
        inside &= before & after
    return inside


@dataclass(frozen=True)
class Scale:
    """Of a run's images: x = 1 + HU/1000 (in_hu), or pictures, (H, W) or in colour (H, W, 3)."""

    in_hu: bool

    @property
    def unit(self) -> str:
        return "HU" if self.in_hu else ""

    def of(self, what: str) -> str:
        """With the unit, where there is one."""
        return f"{what}, HU" if self.in_hu else what

    def pixels(self, image: Pixels) -> Pixels:
        """What is drawn."""
        return hu_from_relative(image) if self.in_hu else np.clip(image, 0, 1)

    def difference(self, image: Pixels, truth: Pixels) -> Pixels:
        """(H, W), in HU; of colours the mean over the three."""
        gap: Pixels = image - truth
        if self.in_hu:
            return 1000 * gap
        return gap.mean(-1) if gap.ndim == 3 else gap

    def window(self, truth: Pixels) -> Window:
        return choose_window(self.pixels(truth)) if self.in_hu else Window("grey", 0.0, 1.0, in_hu=False)

    def limit(self, differences: list[Pixels]) -> float:
        """The 99.5th percentile, rounded up to two digits: a few hot pixels must not wash out the rest."""
        reach = max(float(np.percentile(np.abs(difference), 99.5)) for difference in differences)
        reach = max(reach, 1.0 if self.in_hu else 1e-3)
        step: float = 10.0 ** (np.floor(np.log10(reach)) - 1) * 5
        return float(np.ceil(reach / step) * step)

    def written(self, error: float) -> str:
        """An error or a limit with its unit."""
        return f"{error:.0f} HU" if self.in_hu else f"{error:.3g}"

    def rmse(self, image: Pixels, truth: Pixels) -> str:
        value = float(np.sqrt(np.mean((image - truth) ** 2)))
        return self.written(1000 * value if self.in_hu else value)

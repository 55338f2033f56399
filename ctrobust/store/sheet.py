"""A contact sheet: the middle slice of every series, as a radiologist would window it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ctrobust.core.files import replacing
from ctrobust.core.grid import regrid
from ctrobust.store.overview import SeriesOverview
from ctrobust.store.reader import Store

WINDOW_HU = (-160.0, 240.0)
MOST_TILES = 48
TILE = 160


def write_sheet(store: Store, series: Sequence[SeriesOverview], path: Path) -> int:
    """Write a PNG; of many series, that many spread over the store. Returns how many are shown."""
    from matplotlib.figure import Figure

    shown = [
        series[i * len(series) // min(len(series), MOST_TILES)] for i in range(min(len(series), MOST_TILES))
    ]
    columns = min(8, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(1.7 * columns, 1.95 * rows), layout="tight", facecolor="white")
    for place, one in enumerate(shown):
        axes = figure.add_subplot(rows, columns, place + 1)
        low, high = WINDOW_HU
        axes.imshow(_tile(store, one), cmap="gray", vmin=low, vmax=high)
        slices = "1 slice" if len(one.indices) == 1 else f"{len(one.indices)} slices"
        axes.set_title(f"{one.patient}\n{one.series}, {slices}", fontsize=5)
        axes.set_axis_off()
    with replacing(path) as part:
        figure.savefig(part, format="png", dpi=TILE)
    return len(shown)


def _tile(store: Store, series: SeriesOverview) -> NDArray[np.float32]:
    middle = sorted(series.indices, key=lambda index: store.position_mm[index])[len(series.indices) // 2]
    image = store.image(middle)
    height, width = (side * mm for side, mm in zip(image.shape, series.pixel_mm, strict=True))
    scale = max(height, width) / TILE
    size = max(1, round(height / scale)), max(1, round(width / scale))
    return regrid(image, series.pixel_mm, size, (height / size[0], width / size[1]), WINDOW_HU[0])

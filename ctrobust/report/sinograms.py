"""The measurement and the perturbations found for it."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ctrobust.report.numbers import error, listing, percent
from ctrobust.report.slices import Shown
from ctrobust.report.style import Picture, picture, plain, slug

Pixels = NDArray[np.float64]
PERTURBATION = "PuOr_r"


def draw_sinograms(shown: Shown) -> Picture:
    """y, and δ for every f on its own symmetric scale; (views, bins), in mm of water. Of a matrix as lines."""
    first, index = shown.examples(0)
    y = first.y[index]
    count = len(shown.members) + 1
    rows = -(-count // 4)
    columns = -(-count // rows)
    figure = Figure(figsize=(2.55 * columns, 2.6 * rows + 0.1), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels:
        axes.set_axis_off()
    draw = _panel if shown.members[0][0].scanned else _lines
    draw(figure, panels[0], y, "gray", (float(np.min(y)), float(np.max(y))), "measurement y")
    sizes = []
    for member, axes in enumerate(panels[1:count]):
        examples, index = shown.examples(member)
        delta, measured = examples.delta[index], examples.y[index]
        sizes.append(f"{_size(delta, measured)}{_unit(shown, ' mm')}")
        reach = max(float(np.abs(delta).max()), 1e-30)
        name = shown.members[member][0].label
        draw(figure, axes, delta, PERTURBATION, (-reach, reach), f"δ for {name}\n{sizes[-1]}")
    name = slug(["perturbation", str(shown.slice_index), *(run.label for run, _, _ in shown.members)])
    return picture(name, figure, _alt(shown, sizes), _caption(shown, y), colours=PERTURBATION)


def _panel(
    figure: Figure, axes: Axes, pixels: Pixels, colours: str, limits: tuple[float, float], title: str
) -> None:
    axes.set_axis_on()
    low, high = limits
    image = axes.imshow(pixels, cmap=colours, vmin=low, vmax=high, aspect="auto", interpolation="nearest")
    axes.grid(visible=False)
    axes.set_title(plain(title), fontsize=9)
    axes.set_xlabel("detector bin", fontsize=8)
    axes.set_ylabel("view", fontsize=8)
    axes.tick_params(labelsize=7)
    bar = figure.colorbar(image, ax=axes, orientation="horizontal", shrink=0.9, aspect=30)
    bar.set_label("mm of water", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    bar.ax.grid(visible=False)


def _lines(
    figure: Figure, axes: Axes, pixels: Pixels, colours: str, limits: tuple[float, float], title: str
) -> None:
    """Numbers of a matrix have no neighbours: one line a channel, in the order of its rows."""
    axes.set_axis_on()
    for row in pixels:
        axes.plot(row, linewidth=0.7)
    axes.set_ylim(1.05 * min(limits[0], 0.0), 1.05 * limits[1])
    axes.set_title(plain(title), fontsize=9)
    axes.set_xlabel("measurement", fontsize=8)
    axes.tick_params(labelsize=7)


def _size(delta: Pixels, y: Pixels) -> str:
    norm = float(np.linalg.norm(y))
    relative = float(np.linalg.norm(delta)) / norm if norm > 0 else 0.0
    return f"{percent(relative)} of ‖y‖, max {error(float(np.abs(delta).max()))}"


def _unit(shown: Shown, of_ct: str) -> str:
    """Of line integrals of CT; what else is measured has none."""
    return of_ct if shown.scale.in_hu and shown.members[0][0].scanned else ""


def _alt(shown: Shown, sizes: list[str]) -> str:
    parts = [f"for {run.label} {size}" for (run, _, _), size in zip(shown.members, sizes, strict=True)]
    return f"{shown.title}: the measurement, and the perturbations found {listing(parts)}."


def _caption(shown: Shown, y: Pixels) -> str:
    return (
        f"{shown.title}: the measurement (left, up to {error(float(y.max()))}{_unit(shown, ' mm of water')}) and the "
        "perturbation δ found for each reconstructor, each on its own scale: on that of y none would show. "
        "Above each its norm in % of ‖y‖ and its largest absolute value."
    )

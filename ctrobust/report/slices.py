"""Example slices: what the perturbation does to the image of each reconstructor."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from ctrobust.report.compare import direct_name
from ctrobust.report.numbers import decibel, listing
from ctrobust.report.runs import Examples, Run
from ctrobust.report.scale import Scale, Window
from ctrobust.report.style import Picture, picture, plain, slug

MOST_EXAMPLES = 4
DIFFERENCE = "RdBu_r"
Pixels = NDArray[np.float64]
Panels = NDArray[Any]  # of Axes


@dataclass(frozen=True)
class Shown:
    """One slice and its members: (run, the run's place on the page, index of the slice in its examples)."""

    slice_index: int
    patient: str
    members: tuple[tuple[Run, int, int], ...]

    def examples(self, member: int) -> tuple[Examples, int]:
        run, _, index = self.members[member]
        assert run.examples is not None
        return run.examples, index

    @property
    def scale(self) -> Scale:
        return Scale(self.members[0][0].result.in_hu)

    @property
    def direct(self) -> str:
        """The linear reconstruction that is shown beside: FBP, or the pseudo-inverse."""
        return direct_name(self.members[0][0])

    @property
    def title(self) -> str:
        if not self.scale.in_hu:
            return f"Picture {self.slice_index} ({self.patient})"
        return f"Slice {self.slice_index}, patient {self.patient}"


def shown_slices(runs: Sequence[Run]) -> list[Shown]:
    """The slices of the page, those of the first run first; a slice is shared where index and truth agree.

    Chosen in advance: what was kept for being the worst would say nothing of the rest.
    """
    groups: dict[tuple[int, bytes], list[tuple[Run, int, int]]] = {}
    names: dict[tuple[int, bytes], str] = {}
    for place, run in enumerate(runs):
        if run.examples is None:
            continue
        for index, number in enumerate(run.examples.slice_index):
            if not run.examples.in_advance[index]:
                continue
            key = number, np.round(run.examples.truth[index], 4).tobytes()
            groups.setdefault(key, []).append((run, place, index))
            names.setdefault(key, run.examples.patient[index])
    shown = [Shown(key[0], names[key], tuple(members)) for key, members in groups.items()]
    return shown[:MOST_EXAMPLES]


def draw_slice(shown: Shown) -> Picture:
    """Rows clean, attacked, attacked − truth; columns truth, FBP or the pseudo-inverse, every f."""
    first, index = shown.examples(0)
    truth = first.truth[index]
    clean, attacked = _columns(shown)
    scale = shown.scale
    window = scale.window(truth)
    limit = scale.limit([scale.difference(image, truth) for image in attacked])
    figure, panels = _grid(len(clean) + 1, truth.shape)
    grey = _show(panels[0, 0], scale.pixels(truth), window.low, window.high, "gray")
    for column, (before, after) in enumerate(zip(clean, attacked, strict=True), start=1):
        _show(panels[0, column], scale.pixels(before), window.low, window.high, "gray")
        _show(panels[1, column], scale.pixels(after), window.low, window.high, "gray")
        colours = _show(panels[2, column], scale.difference(after, truth), -limit, limit, DIFFERENCE)
        panels[0, column].set_xlabel(f"{decibel(psnr_db(before, truth))} dB")
        panels[1, column].set_xlabel(f"{decibel(psnr_db(after, truth))} dB")
        panels[2, column].set_xlabel(f"RMSE {scale.rmse(after, truth)}")
    _titles(panels, ["truth", shown.direct, *(run.label for run, _, _ in shown.members)])
    if truth.ndim == 2:
        _bar(panels[1, 0], grey, scale.unit)
    _bar(panels[2, 0], colours, scale.of("difference"))
    name = slug(["slice", str(shown.slice_index), *(run.label for run, _, _ in shown.members)])
    return picture(
        name,
        figure,
        _alt(shown, clean, attacked, truth),
        _caption(shown, window, limit),
        colours=_palette(truth),
    )


def _palette(truth: Pixels) -> str | None:
    """The few colours that a figure of grey images has; of coloured ones all are kept."""
    return DIFFERENCE if truth.ndim == 2 else None


def psnr_db(image: Pixels, truth: Pixels) -> float:
    """PSNR at peak 1 of images in x = 1 + HU/1000."""
    mse = float(np.mean((image - truth) ** 2))
    return float(-10 * np.log10(max(mse, np.finfo(np.float64).tiny)))


def _columns(shown: Shown) -> tuple[list[Pixels], list[Pixels]]:
    first, index = shown.examples(0)
    clean, attacked = [first.fbp_clean[index]], [first.fbp_attacked[index]]
    for member in range(len(shown.members)):
        examples, index = shown.examples(member)
        clean.append(examples.f_clean[index])
        attacked.append(examples.f_attacked[index])
    return clean, attacked


def draw_row(
    name: str, label: str, images: tuple[Pixels, Pixels, Pixels], scale: Scale, window: Window, told: str
) -> Picture:
    """One slice of one reconstructor in a row: truth, clean, attacked, attacked − truth."""
    truth, clean, attacked = images
    difference = scale.difference(attacked, truth)
    limit = scale.limit([difference])
    figure, panels = _grid(4, truth.shape, rows=1)
    for axes, image in zip(panels[0], images, strict=False):
        _show(axes, scale.pixels(image), window.low, window.high, "gray")
    _show(panels[0, 3], difference, -limit, limit, DIFFERENCE)
    for axes, title in zip(panels[0], ("truth", "clean", "attacked", "attacked − truth"), strict=True):
        axes.set_title(title)
    panels[0, 0].set_ylabel(label)
    before, after = (decibel(psnr_db(image, truth)) for image in (clean, attacked))
    panels[0, 1].set_xlabel(f"{before} dB")
    panels[0, 2].set_xlabel(f"{after} dB")
    panels[0, 3].set_xlabel(f"±{limit:g} {scale.unit}".rstrip())
    return picture(
        name, figure, f"{told} PSNR falls from {before} to {after} dB.", told, colours=_palette(truth)
    )


def _grid(columns: int, shape: tuple[int, ...], rows: int = 3) -> tuple[Figure, Panels]:
    side = 2.05 if columns <= 5 else 1.6
    size = (columns * side + 0.35, rows * (side * shape[0] / shape[1] + 0.22) + 0.3)
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    figure = Figure(figsize=size, layout=layout)
    panels: Panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    return figure, panels


def _titles(panels: Panels, names: list[str]) -> None:
    for axes, name in zip(panels[0], names, strict=True):
        axes.set_title(plain(name))
    for axes, name in zip(panels[:, 1], ("clean", "attacked", "attacked − truth"), strict=True):
        axes.set_ylabel(name)


def _show(axes: Axes, image: Pixels, low: float, high: float, colours: str) -> AxesImage:
    return axes.imshow(image, vmin=low, vmax=high, cmap=colours)


def _bar(axes: Axes, image: AxesImage, unit: str) -> None:
    """A colour bar in the empty cell under the truth."""
    inner = axes.inset_axes((0.62, 0.08, 0.09, 0.84))
    bar = axes.figure.colorbar(image, cax=inner, ticklocation="left", extend="both")
    bar.set_label(unit)
    inner.tick_params(labelsize=8)
    inner.grid(visible=False)


def _alt(shown: Shown, clean: list[Pixels], attacked: list[Pixels], truth: Pixels) -> str:
    names = [shown.direct, *(run.label for run, _, _ in shown.members)]
    parts = [
        f"{name} falls from {decibel(psnr_db(before, truth))} to {decibel(psnr_db(after, truth))} dB"
        for name, before, after in zip(names, clean, attacked, strict=True)
    ]
    return (
        f"{shown.title}: grid of reconstructions, clean, attacked, and their error. PSNR: {listing(parts)}."
    )


def _caption(shown: Shown, window: Window, limit: float) -> str:
    examples, _ = shown.examples(0)
    first = shown.members[0][0].label
    return (
        f"{shown.title}; {shown.members[0][0].result.sized(examples.eps)}. Each reconstructor is "
        f"shown under the perturbation made for it, {shown.direct} under the one made for {first}. Grey: {window}. "
        f"Bottom row: attacked − truth, red too bright, blue too dark, ±{shown.scale.of(f'{limit:g}')}. "
        "Under each image its PSNR (peak 1) or RMSE."
    )

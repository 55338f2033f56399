"""Training curves, redrawn from `history.csv`."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from ctrobust.report.compare import hues
from ctrobust.report.numbers import error, listing, percent
from ctrobust.report.runs import Run
from ctrobust.report.style import Picture, legend_below, marker, picture, plain, slug

Column = NDArray[np.float64]

CLEAN, ADVERSARIAL = "#0072b2", "#d55e00"
# (column, what the legend says, colour, how it is drawn: raw and smoothed, dotted, or points)
LOSSES = (
    ("clean", "training, clean", CLEAN, "smooth"),
    ("clean_eval", "… in evaluation mode", CLEAN, "dotted"),
    ("adversarial", "training, under δ", ADVERSARIAL, "smooth"),
    ("val_clean", "validation, clean", CLEAN, "points"),
    ("val_adversarial", "validation, under δ", ADVERSARIAL, "points"),
)
# More samples outside than this and the hinge, not the ball, decides how large δ is.
OUTSIDE_LIMIT = 0.05
# Of the worst case; early in training 20 steps may find a fraction of what another attack does.
MOST_SHOWN = 1.5


def draw_training(run: Run, runs: Sequence[Run]) -> Picture | None:
    """Losses on an axis shared by all `runs`; for a run that met δ its size and the share outside the ball.

    None where no row was logged.
    """
    if not any(has(run, column) for column, *_ in LOSSES):
        return None
    asked = [column for column in ("delta_rel", "outside") if has(run, column)]
    figure = Figure(figsize=(9.35, 3.1) if asked else (6.4, 3.1), layout="constrained")
    widths = [1.9, *(1.0 for _ in asked)]
    panels = figure.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0]
    _losses(panels[0], run, runs)
    for axes, column in zip(panels[1:], asked, strict=True):
        (_size if column == "delta_rel" else _outside)(axes, run)
    for axes in panels:
        axes.set_xlabel("training step")
    return picture(slug(["training", run.label]), figure, _alt(run), _caption(run, asked))


def draw_found(runs: Sequence[Run]) -> Picture | None:
    """What each run's own perturbation finds of the worst case, over the steps; None where no run looked.

    The worst case is what 20 steps of ascent find on the same validation slices: found/found_20.
    """
    looked = [(run, hue) for run, hue in zip(runs, hues(runs), strict=True) if _share(run, "found")[0].size]
    if not looked:
        return None
    figure = Figure(figsize=(7.4, 3.4), layout="constrained")
    axes = figure.subplots()
    for place, (run, hue) in enumerate(looked):
        axes.plot(
            *_share(run, "found"), color=hue, marker=marker(place), markersize=4, label=plain(run.label)
        )
        for column, dots in (("found_1", (0, (1, 3))), ("found_5", (0, (4, 2)))):
            axes.plot(*_share(run, column), color=hue, linestyle=dots, linewidth=1.0)
    for told, dots in (("1 step of ascent", (0, (1, 3))), ("5 steps of ascent", (0, (4, 2)))):
        axes.plot([], [], color="black", linestyle=dots, linewidth=1.0, label=told)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_ylim(min(0.0, axes.dataLim.ymin), min(axes.get_ylim()[1], MOST_SHOWN))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("training step")
    axes.set_title("Share of the worst case that the method’s own perturbation finds", loc="left")
    legend_below(figure)
    parts = [f"{run.label} ends at {_share(run, 'found')[1][-1]:.0%}" for run, _ in looked]
    return picture(
        "found",
        figure,
        f"Line chart of the share of the worst case that training finds, over steps: {listing(parts)}.",
        "How much of the worst case the perturbation met in training finds: its increase of the error over that of "
        "20 steps of ascent (the line at 100 %), on at most 8 validation slices. Thin, for the same f: what 1 and 5 "
        f"steps of ascent find. Above {MOST_SHOWN:.0%}, where 20 steps of ascent are far from the worst case, is cut "
        "off. Far below 100 % f is trained against an adversary weaker than it will meet.",
    )


def _share(run: Run, column: str) -> tuple[Column, Column]:
    """(steps, column/found_20), where both are known and there is something to find."""
    if not (has(run, column) and has(run, "found_20")):
        return np.empty(0), np.empty(0)
    most, mine, step = (run.history[name] for name in ("found_20", column, "step"))
    known = np.isfinite(most) & np.isfinite(mine) & np.isfinite(step) & (np.nan_to_num(most) > 0)
    return step[known], mine[known] / most[known]


def has(run: Run, column: str) -> bool:
    """Whether that column of the history holds any number."""
    return bool(np.isfinite(run.history.get(column, np.empty(0))).any())


def _losses(axes: Axes, run: Run, runs: Sequence[Run]) -> None:
    for column, name, hue, manner in LOSSES:
        if has(run, column):
            _draw(axes, *_filled(run, column), name, hue, manner)
    axes.set_yscale("log")
    low, high = _reach(runs)
    axes.set_ylim(low / 1.2, high * 1.2)
    axes.set_ylabel("loss, Σ (x̂ − x)² per image")
    axes.set_title(plain(f"{run.label}: loss"), loc="left")
    axes.legend(fontsize=8, loc="upper right")


def _draw(axes: Axes, step: Column, values: Column, name: str, hue: str, manner: str) -> None:
    if manner == "points":
        filled = "none" if hue == CLEAN else hue
        axes.plot(step, values, "o", color=hue, markerfacecolor=filled, markersize=5, label=name)
    elif manner == "dotted":
        axes.plot(step, values, ":", color=hue, linewidth=1.2, label=name)
    else:
        axes.plot(step, values, color=hue, alpha=0.25, linewidth=0.8)
        axes.plot(step, smoothed(values), color=hue, label=name)


def smoothed(values: Column) -> Column:
    """Geometric mean over a thirtieth of the rows, as the eye averages a log axis. (n,) -> (n,), all > 0."""
    width = max(1, len(values) // 30)
    kernel = np.ones(width)
    logs = np.log(np.maximum(values, np.finfo(np.float64).tiny))
    counts = np.convolve(np.ones_like(logs), kernel, mode="same")[: len(logs)]
    smooth: Column = np.exp(np.convolve(logs, kernel, mode="same")[: len(logs)] / counts)
    return smooth


def _filled(run: Run, column: str) -> tuple[Column, Column]:
    values, step = run.history[column], run.history["step"]
    known = np.isfinite(values) & np.isfinite(step)
    return step[known], values[known]


def _reach(runs: Sequence[Run]) -> tuple[float, float]:
    """The range of all losses of the page, so that runs can be compared by eye."""
    values = np.concatenate([_filled(run, name)[1] for run in runs for name, *_ in LOSSES if has(run, name)])
    values = values[values > 0]
    return (float(values.min()), float(values.max())) if values.size else (0.1, 1.0)


def _size(axes: Axes, run: Run) -> None:
    step, values = _filled(run, "delta_rel")
    axes.plot(step, 100 * values, color=ADVERSARIAL, linewidth=1.2)
    if run.trained_eps is not None:
        axes.axhline(100 * run.trained_eps, color="black", linestyle=":", linewidth=1.2)
        axes.set_ylim(0, max(100 * run.trained_eps, float(100 * values.max())) * 1.2)
    axes.set_title("mean ‖δ‖/‖y‖, %", loc="left")


def _outside(axes: Axes, run: Run) -> None:
    step, values = _filled(run, "outside")
    axes.plot(step, values, color=ADVERSARIAL, linewidth=1.2)
    axes.axhline(OUTSIDE_LIMIT, color="black", linestyle=":", linewidth=1.2)
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_title("share of G(y) outside", loc="left")


def _alt(run: Run) -> str:
    parts = []
    for column, name, *_ in LOSSES:
        if has(run, column):
            _, values = _filled(run, column)
            parts.append(f"{name} from {error(float(values[0]))} to {error(float(values[-1]))}")
    return f"Training of {run.label}: {'; '.join(parts)}."


def _caption(run: Run, asked: list[str]) -> str:
    text = (
        f"Training of {run.label}. Losses are sums of squares per image; faint: each logged batch, bold: "
        "smoothed; dotted: the same batch with the batch-norm statistics that are used after training."
    )
    if "delta_rel" in asked:
        size = f"ε = {percent(run.trained_eps)}" if run.trained_eps is not None else "ε"
        where = "Middle" if "outside" in asked else "Right"
        text += f" {where}: size of the perturbation met in training, {size} dotted."
    if "outside" in asked:
        text += " Right: share of samples whose G(y) had to be brought back onto the ball, 5 % dotted."
    return text

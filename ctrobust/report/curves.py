"""The robustness curves: worst-case error and PSNR against the size of the perturbation."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ctrobust.report.compare import all_sizes, hues, references
from ctrobust.report.numbers import error, listing, percent
from ctrobust.report.result import Measured
from ctrobust.report.runs import Run
from ctrobust.report.style import ALARM, GREY, Picture, marker, picture, plain

REFERENCE_MARKERS = ("x", "+", "1", "2")


def draw_curves(runs: Sequence[Run]) -> Picture:
    """Two panels against ε in %: ρ̂ on a log axis with its random control, and the worst-case PSNR."""
    figure = Figure(figsize=(9.35, 4.9), layout="constrained")
    rho, psnr = figure.subplots(1, 2, width_ratios=(1.45, 1))
    for run, hue in zip(runs, hues(runs), strict=True):
        for one in run.singles:
            _draw_single(rho, psnr, one.result.learned, hue)
    for measured, hue, sign in _lines(runs):
        _draw(rho, psnr, measured, hue, sign)
    _mark_failures(rho, runs)
    rho.set_yscale("log")
    rho.set_ylabel("squared error per image, Σ (x̂ − x)²")
    rho.set_title("Worst-case error ρ̂ (solid), random δ (dashed)", loc="left")
    psnr.set_ylabel("PSNR at the worst δ, dB")
    psnr.set_title("Worst-case PSNR", loc="left")
    for axes in (rho, psnr):
        _abscissa(axes, runs)
    figure.legend(handles=_legend(runs), loc="outside lower center", ncols=4)
    return picture("robustness-curves", figure, _alt(runs), _caption(runs))


def _lines(runs: Sequence[Run]) -> list[tuple[Measured, str, str]]:
    learned = [
        (run.result.learned, hue, marker(i))
        for i, (run, hue) in enumerate(zip(runs, hues(runs), strict=True))
    ]
    return [
        (measured, GREY, REFERENCE_MARKERS[i % len(REFERENCE_MARKERS)])
        for i, (_, measured) in enumerate(references(runs))
    ] + learned


def _draw(rho: Axes, psnr: Axes, measured: Measured, hue: str, sign: str) -> None:
    eps = 100 * np.array([point.eps for point in measured.curve])
    worst = np.array([point.rho for point in measured.curve])
    # Hollow markers: the attack on this one is in doubt.
    inside = "white" if measured.failed else hue
    rho.plot(eps, worst, color=hue, marker=sign, markersize=5, markerfacecolor=inside)
    rho.plot(eps, [point.random for point in measured.curve], color=hue, linestyle=(0, (4, 3)), linewidth=1.2)
    known = [(100 * point.eps, *point.rho_ci95) for point in measured.curve if point.rho_ci95]
    if known:
        x, low, high = np.array(known).T
        rho.fill_between(x, np.maximum(low, 1e-9), high, color=hue, alpha=0.15, linewidth=0)
    left = [point.psnr_db for point in measured.curve]
    psnr.plot(eps, left, color=hue, marker=sign, markersize=5, markerfacecolor=inside)


def _draw_single(rho: Axes, psnr: Axes, measured: Measured, hue: str) -> None:
    """One of the runs that a bold line is the mean of."""
    eps = [100 * point.eps for point in measured.curve]
    rho.plot(eps, [point.rho for point in measured.curve], color=hue, alpha=0.4, linewidth=0.8)
    psnr.plot(eps, [point.psnr_db for point in measured.curve], color=hue, alpha=0.4, linewidth=0.8)


def _mark_failures(axes: Axes, runs: Sequence[Run]) -> None:
    """In the corner that rising curves leave free."""
    named = [(run.label, run.result.learned) for run in runs] + references(runs)
    lines = [
        f"✗ {name}: attack check failed,\n    the true curve may lie far higher"
        for name, measured in named
        if measured.failed
    ]
    text = plain("\n".join(lines))
    axes.text(0.02, 0.98, text, transform=axes.transAxes, ha="left", va="top", color=ALARM, fontsize=8.5)


def _abscissa(axes: Axes, runs: Sequence[Run]) -> None:
    axes.set_xlabel("size of the perturbation ε = ‖δ‖/‖y‖, %")
    sizes = [100 * eps for eps in all_sizes(runs)]
    if len(sizes) <= 8:
        axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    for trained in {run.trained_eps for run in runs if run.trained_eps is not None}:
        axes.axvline(100 * trained, color="#9a9a9a", linestyle=":", linewidth=1.2, zorder=0)


def _legend(runs: Sequence[Run]) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=hue, marker=marker(i), label=plain(run.label))
        for i, (run, hue) in enumerate(zip(runs, hues(runs), strict=True))
    ]
    handles += [
        Line2D([], [], color=GREY, marker=REFERENCE_MARKERS[i % len(REFERENCE_MARKERS)], label=plain(name))
        for i, (name, _) in enumerate(references(runs))
    ]
    handles.append(Line2D([], [], color="black", linestyle=(0, (4, 3)), linewidth=1.2, label="random δ"))
    if _intervals(runs):
        handles.append(Patch(color="black", alpha=0.15, linewidth=0, label="95 % interval"))
    if any(run.trained_eps is not None for run in runs):
        handles.append(Line2D([], [], color="#9a9a9a", linestyle=":", label="ε met in training"))
    return handles


def _intervals(runs: Sequence[Run]) -> bool:
    return any(point.rho_ci95 for run in runs for point in run.result.learned.curve)


def _alt(runs: Sequence[Run]) -> str:
    parts = []
    for name, measured in [(run.label, run.result.learned) for run in runs] + references(runs):
        first, last = measured.curve[0], measured.curve[-1]
        start = f"{error(first.rho)} at {percent(first.eps)}"
        parts.append(f"{name} from {start} to {error(last.rho)} at {percent(last.eps)}")
    return f"Line chart of the worst-case squared error against the perturbation size: {listing(parts)}."


def _caption(runs: Sequence[Run]) -> str:
    if _intervals(runs):
        interval = "Shaded: 95 % interval over patients. "
    elif any(run.singles for run in runs):
        interval = "Bold: mean over runs that differ in seed and split alone; thin: each of them. "
    else:
        interval = "No interval is drawn: fewer than six patients. "
    return (
        "Left: mean squared error per image (sum over pixels, log scale) under the worst perturbation found, "
        "and dashed under a random one of the same norm. Lower is more robust; ε = 0 is the clean error. "
        f"{interval}Right: the PSNR that is left at the worst perturbation; higher is better."
    )

"""The robustness curves: worst-case error and PSNR against the size of the perturbation."""

from collections.abc import Sequence
from textwrap import fill, wrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ctrobust.report.compare import all_sizes, everyone, hues, references
from ctrobust.report.numbers import error, listing
from ctrobust.report.result import Measured
from ctrobust.report.runs import Run
from ctrobust.report.style import ALARM, Picture, grey, legend_below, marker, picture, plain

REFERENCE_MARKERS = ("x", "+", "1", "2")
RANDOM, DOUBTED = (0, (1, 2)), (0, (5, 3))


def draw_curves(runs: Sequence[Run]) -> Picture:
    """Two panels against ε in %: ρ̂ on a log axis with its random control, and the worst-case PSNR."""
    figure = Figure(figsize=(9.35, 4.9), layout="constrained")
    rho, psnr = figure.subplots(1, 2, width_ratios=(1.45, 1))
    for run, hue in zip(runs, hues(runs), strict=True):
        for one in run.singles:
            _draw_single(rho, psnr, one.result.learned, hue, _scale(runs))
    for measured, hue, sign in _lines(runs):
        _draw(rho, psnr, measured, hue, sign, _scale(runs))
    _mark_failures(rho, runs)
    rho.set_yscale("log")
    rho.set_ylabel("squared error per image, Σ (x̂ − x)²")
    rho.set_title("Worst-case error ρ̂; dotted: random δ", loc="left")
    psnr.set_ylabel("PSNR at the worst δ, dB")
    psnr.set_title("Worst-case PSNR", loc="left")
    for axes in (rho, psnr):
        _abscissa(axes, runs)
    legend_below(figure, _legend(runs))
    return picture("robustness-curves", figure, _alt(runs), _caption(runs))


def _lines(runs: Sequence[Run]) -> list[tuple[Measured, str, str]]:
    """Controls first, so that what was learned lies on top."""
    shown = everyone(runs)
    learned = [(measured, hue, marker(i)) for i, (_, hue, measured) in enumerate(shown[: len(runs)])]
    controls = [(measured, hue, _sign(i)) for i, (_, hue, measured) in enumerate(shown[len(runs) :])]
    return controls + learned


def _sign(control: int) -> str:
    return REFERENCE_MARKERS[control % len(REFERENCE_MARKERS)]


def _draw(rho: Axes, psnr: Axes, measured: Measured, hue: str, sign: str, scale: float) -> None:
    eps = scale * np.array([point.eps for point in measured.curve])
    worst = [point.rho for point in measured.curve]
    left = [point.psnr_db for point in measured.curve]
    # Dashed and hollow: the attack on this one is in doubt.
    inside, line = ("white", DOUBTED) if measured.failed else (hue, "-")
    for axes, values in ((rho, worst), (psnr, left)):
        axes.plot(eps, values, color=hue, marker=sign, markersize=5, markerfacecolor=inside, linestyle=line)
    rho.plot(eps, [point.random for point in measured.curve], color=hue, linestyle=RANDOM, linewidth=1.2)
    known = [(scale * point.eps, *point.rho_ci95) for point in measured.curve if point.rho_ci95]
    if known:
        x, low, high = np.array(known).T
        rho.fill_between(x, np.maximum(low, 1e-9), high, color=hue, alpha=0.15, linewidth=0)


def _draw_single(rho: Axes, psnr: Axes, measured: Measured, hue: str, scale: float) -> None:
    """One of the runs that a bold line is the mean of."""
    eps = [scale * point.eps for point in measured.curve]
    rho.plot(eps, [point.rho for point in measured.curve], color=hue, alpha=0.4, linewidth=0.8)
    psnr.plot(eps, [point.psnr_db for point in measured.curve], color=hue, alpha=0.4, linewidth=0.8)


def _mark_failures(axes: Axes, runs: Sequence[Run]) -> None:
    """In the corner that rising curves leave free; many are counted, since dashes and hollow markers name them."""
    shown = everyone(runs)
    names = [name for name, _, measured in shown if measured.failed]
    if not names:
        return
    whose = listing(names) if len(names) < 3 else f"{len(names)} of {len(shown)} curves (dashed, hollow)"
    told = "\n".join(
        map(plain, wrap(f"✗ {whose}: attack check failed, the true curve may lie far higher", 40))
    )
    axes.text(0.02, 0.98, told, transform=axes.transAxes, ha="left", va="top", color=ALARM, fontsize=8.5)


def _abscissa(axes: Axes, runs: Sequence[Run]) -> None:
    scale, result = _scale(runs), runs[0].result
    unit = ", %" if result.relative else ""
    # What another budget measures takes more words than fit under a panel.
    axes.set_xlabel(fill(plain(f"size of the perturbation {result.symbol}{unit}"), 48))
    sizes = [scale * eps for eps in all_sizes(runs)]
    if len(sizes) <= 8:
        axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    for trained in met_in_training(runs):
        axes.axvline(scale * trained, color="#9a9a9a", linewidth=0.8, zorder=0)


def met_in_training(runs: Sequence[Run]) -> set[float]:
    """Sizes met in training, as far as the curves go: noise may have been many times larger."""
    largest = max(all_sizes(runs))
    return {run.trained_eps for run in runs if run.trained_eps is not None and run.trained_eps <= largest}


def _scale(runs: Sequence[Run]) -> float:
    return 100.0 if runs[0].result.relative else 1.0


def _legend(runs: Sequence[Run]) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=hue, marker=marker(i), label=plain(run.label))
        for i, (run, hue) in enumerate(zip(runs, hues(runs), strict=True))
    ]
    handles += [
        Line2D([], [], color=grey(i), marker=_sign(i), label=plain(name))
        for i, (name, _) in enumerate(references(runs))
    ]
    handles.append(Line2D([], [], color="black", linestyle=RANDOM, linewidth=1.2, label="random δ"))
    if any(measured.failed for _, _, measured in everyone(runs)):
        handles.append(Line2D([], [], color="black", linestyle=DOUBTED, label="✗ attack in doubt"))
    if _intervals(runs):
        handles.append(Patch(color="black", alpha=0.15, linewidth=0, label="95 % interval"))
    if met_in_training(runs):
        handles.append(Line2D([], [], color="#9a9a9a", linewidth=0.8, label="ε met in training"))
    return handles


def _intervals(runs: Sequence[Run]) -> bool:
    return any(point.rho_ci95 for run in runs for point in run.result.learned.curve)


def _alt(runs: Sequence[Run]) -> str:
    parts, written = [], runs[0].result.written
    for name, _, measured in everyone(runs):
        first, last = measured.curve[0], measured.curve[-1]
        start = f"{error(first.rho)} at {written(first.eps)}"
        parts.append(f"{name} from {start} to {error(last.rho)} at {written(last.eps)}")
    return f"Line chart of the worst-case squared error against the perturbation size: {listing(parts)}."


def _caption(runs: Sequence[Run]) -> str:
    if _intervals(runs):
        interval = "Shaded: 95 % interval over patients. "
    elif any(run.singles for run in runs):
        interval = "Bold: mean over runs that differ in seed and split alone; thin: each of them. "
    else:
        interval = "No interval is drawn: fewer than six patients. "
    failed = any(measured.failed for _, _, measured in everyone(runs))
    doubted = (
        "Dashed with hollow markers: a check of the attack failed, so read it as a lower bound. " * failed
    )
    return (
        "Left: mean squared error per image (sum over pixels, log scale) under the worst perturbation found, "
        "and dotted under a random one of the same norm. Lower is more robust; ε = 0 is the clean error. "
        f"{doubted}"
        f"{interval}Right: the PSNR that is left at the worst perturbation; higher is better."
    )

"""The trade-off: clean quality against the worst-case error, one marker a run; and the spread over replicates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from ctrobust.report.compare import all_sizes, hues
from ctrobust.report.numbers import decibel, error, listing
from ctrobust.report.runs import Run
from ctrobust.report.style import Picture, legend_below, marker, picture, plain

Reading = Callable[[Run], float | None]


@dataclass(frozen=True)
class SpreadRow:
    """One setting of the table: mean ± standard deviation over its runs."""

    label: str
    colour: str
    runs: int
    cells: tuple[str, ...]


def draw_trade_off(runs: Sequence[Run], eps: float) -> Picture:
    """Clean PSNR against ρ̂(eps): small the runs, large the mean of replicates with its standard deviation."""
    figure = Figure(figsize=(7.4, 5.2), layout="constrained")
    axes = figure.subplots()
    for place, (run, hue) in enumerate(zip(runs, hues(runs), strict=True)):
        _draw(axes, run, eps, hue, marker(place))
    _abscissa(axes, runs, eps)
    axes.set_ylabel("clean PSNR, dB; more is better")
    axes.set_title("Clean quality against robustness: the best is top left", loc="left")
    axes.margins(0.1)
    legend_below(figure, columns=3)
    return picture("trade-off", figure, _alt(runs, eps), _caption(runs, eps))


def spread_rows(runs: Sequence[Run]) -> list[SpreadRow]:
    """PSNR, SSIM, RMSE, ρ̂ at every size, and seconds to train; empty where no run has replicates."""
    if not any(run.singles for run in runs):
        return []
    columns: list[tuple[Reading, Callable[[float], str]]] = [
        (lambda run: run.result.learned.clean.psnr_db, lambda value: f"{value:.2f}"),
        (lambda run: run.result.learned.clean.ssim, lambda value: f"{value:.3f}"),
        (
            lambda run: run.result.learned.clean.rmse,
            lambda value: f"{value:.1f}" if runs[0].result.in_hu else f"{value:.4f}",
        ),
        *((_rho_at(eps), error) for eps in all_sizes(runs)),
        (_seconds, lambda value: f"{value:.0f}"),
    ]
    return [
        SpreadRow(
            run.label,
            hue,
            len(run.each),
            tuple(_spread(run.each, read, written) for read, written in columns),
        )
        for run, hue in zip(runs, hues(runs), strict=True)
    ]


def _draw(axes: Axes, run: Run, eps: float, hue: str, sign: str) -> None:
    learned = [one.result.learned for one in run.each]
    found = [(point.rho, one.clean.psnr_db) for one in learned if (point := one.at(eps))]
    if not found:
        return
    rho, psnr_db = zip(*found, strict=True)
    label = plain(run.label)
    if len(found) > 1:
        axes.plot(rho, psnr_db, sign, color=hue, markersize=4.5, alpha=0.45, markeredgewidth=0)
        bars = {"xerr": stdev(rho), "yerr": stdev(psnr_db)}
        axes.errorbar(fmean(rho), fmean(psnr_db), fmt="none", color=hue, linewidth=1.1, **bars)
        label = f"{label}, {len(found)} runs"
    axes.plot(
        fmean(rho), fmean(psnr_db), sign, color=hue, markersize=9.5, markeredgecolor="white", label=label
    )


def _abscissa(axes: Axes, runs: Sequence[Run], eps: float) -> None:
    """Logarithmic where ρ̂ spreads over more than a factor of three."""
    rho = [point.rho for run in runs for one in run.each if (point := one.result.learned.at(eps))]
    if max(rho) > 3 * min(rho) > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel(f"worst-case error ρ̂ at {runs[0].result.written(eps)}, Σ (x̂ − x)²; less is more robust")


def _rho_at(eps: float) -> Reading:
    def rho(run: Run) -> float | None:
        point = run.result.learned.at(eps)
        return point.rho if point else None

    return rho


def _seconds(run: Run) -> float | None:
    seconds = run.history.get("seconds")
    return float(seconds[-1]) if seconds is not None and len(seconds) else None


def _spread(each: Sequence[Run], read: Reading, written: Callable[[float], str]) -> str:
    values = [value for run in each if (value := read(run)) is not None]
    if not values:
        return "–"
    return f"{written(fmean(values))} ± {written(stdev(values))}" if len(values) > 1 else written(values[0])


def _alt(runs: Sequence[Run], eps: float) -> str:
    parts = [
        f"{run.label} at {decibel(run.result.learned.clean.psnr_db)} dB and {error(point.rho)}"
        for run in runs
        if (point := run.result.learned.at(eps))
    ]
    size = runs[0].result.written(eps)
    return f"Scatter plot of clean PSNR against the worst-case error at {size}: {listing(parts)}."


def _caption(runs: Sequence[Run], eps: float) -> str:
    size = runs[0].result.written(eps)
    text = f"Quality without a perturbation against mean squared error per image under the worst of {size}. "
    if any(run.singles for run in runs):
        text += (
            "Small: runs that differ in seed and split alone; large: their mean, with the standard deviation over "
            "runs as bars. "
        )
    return f"{text}One colour a method."

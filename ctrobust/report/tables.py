"""The tables of the page as rows of text; the template only lays them out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ctrobust.report.compare import all_sizes, baseline, comparable, everyone, hues, references
from ctrobust.report.numbers import decibel, error, general, percent, times
from ctrobust.report.result import Measured, Point
from ctrobust.report.runs import Run, flattened
from ctrobust.report.style import grey

RECIPE_SECTIONS = ("method", "seed", "scan", "network", "train", "threat")


@dataclass(frozen=True)
class Line:
    """One line of a method's block: what it is, (text, small print) for every size; `strong`: the main."""

    name: str
    cells: tuple[tuple[str, str], ...]
    strong: bool = False


@dataclass(frozen=True)
class Block:
    """One reconstructor in the table of results."""

    label: str
    colour: str
    clean: tuple[str, str, str]
    lines: tuple[Line, ...]
    failed: tuple[str, ...]


@dataclass(frozen=True)
class CheckRow:
    label: str
    name: str
    value: str
    limit: str
    ok: bool
    what: str


@dataclass(frozen=True)
class SettingRow:
    """One setting; a single value where all runs agree."""

    key: str
    values: tuple[str, ...]


def sizes_of(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """The heads of the table's columns: the size, and in small print what share of the noise a whitened one is."""
    return [(runs[0].result.written(eps), _noise_share(runs, eps)) for eps in all_sizes(runs)]


def _noise_share(runs: Sequence[Run], eps: float) -> str:
    """Empty for another budget, and where runs differ in it: the readings of their scans are not as many."""
    points = [run.result.learned.at(eps) for run in runs]
    shares = {percent(p.noise_share) for p in points if p is not None and p.noise_share is not None}
    return f"{shares.pop()} of the noise" if len(shares) == 1 else ""


def result_blocks(runs: Sequence[Run]) -> list[Block]:
    """One block a run, then FBP: clean quality, and at every size ρ̂, ratio to erm, random control, PSNR."""
    sizes, base = all_sizes(runs), baseline(runs)
    blocks = []
    for run, hue in zip(runs, hues(runs), strict=True):
        set_against = (
            None if base is None or run is base or not comparable(run, base) else base.result.learned
        )
        ratio = () if set_against is None else (_ratio(run.result.learned, set_against, base, sizes),)
        blocks.append(_block(run.label, hue, run.result.learned, sizes, ratio))
    controls = enumerate(references(runs))
    return blocks + [_block(name, grey(i), measured, sizes, ()) for i, (name, measured) in controls]


def interval_note(runs: Sequence[Run]) -> str:
    """What the small print is, or why there is none."""
    if any(point.rho_ci95 for run in runs for point in run.result.learned.curve):
        return "Small print: 95 % interval over patients."
    if any(run.singles for run in runs):
        return "Means over runs that differ in seed and split alone."
    return "No intervals: fewer than six patients."


def check_rows(runs: Sequence[Run]) -> list[CheckRow]:
    """Every check of every attack."""
    return [
        CheckRow(label, check.title, short(check.value), short(check.limit), check.ok, check.what)
        for label, _, measured in everyone(runs)
        for check in measured.checks
    ]


def setting_groups(runs: Sequence[Run]) -> list[tuple[str, list[SettingRow]]]:
    """Settings, attack, data and provenance, one group each, flattened to dotted keys."""
    recipes = [{key: run.recipe[key] for key in RECIPE_SECTIONS if key in run.recipe} for run in runs]
    groups: list[tuple[str, Sequence[Mapping[str, Any]]]] = [
        ("Recipe", recipes),
        ("Attack used in the evaluation", [run.result.attack for run in runs]),
        ("Metrics", [run.result.metrics for run in runs]),
        ("Data", [run.result.data for run in runs]),
        ("Provenance", [run.result.provenance for run in runs]),
        ("Training cost", [_cost(run) for run in runs]),
    ]
    return [(title, rows) for title, contents in groups if (rows := _rows(contents))]


def _block(
    label: str, hue: str, measured: Measured, sizes: Sequence[float], ratio: tuple[Line, ...]
) -> Block:
    points = [measured.at(eps) for eps in sizes]
    clean = measured.clean
    lines = (
        Line("worst case ρ̂", tuple(map(_worst, points)), strong=True),
        *ratio,
        Line("random δ", tuple((error(point.random), "") if point else ("–", "") for point in points)),
        Line("worst-case PSNR, dB", tuple((decibel(p.psnr_db), "") if p else ("–", "") for p in points)),
    )
    quality = decibel(clean.psnr_db), f"{clean.ssim:.3f}", clean.rmse_written()
    return Block(label, hue, quality, lines, tuple(check.title for check in measured.failed))


def _worst(point: Point | None) -> tuple[str, str]:
    if point is None:
        return "–", ""
    interval = point.rho_ci95
    return error(point.rho), f"{error(interval[0])} – {error(interval[1])}" if interval else ""


def _ratio(mine: Measured, theirs: Measured, base: Run | None, sizes: Sequence[float]) -> Line:
    cells = []
    for eps in sizes:
        here, there = mine.at(eps), theirs.at(eps)
        known = here is not None and there is not None and there.rho > 0
        cells.append((times(here.rho / there.rho), "") if known and here and there else ("–", ""))
    return Line(f"ρ̂ ÷ ρ̂ of {base.label if base else ''}", tuple(cells))


def short(value: object) -> str:
    """What a check found, or its limit."""
    return f"{value:.3g}" if isinstance(value, float) else general(value)


def _cost(run: Run) -> Mapping[str, Any]:
    steps, seconds = (run.history.get(name) for name in ("step", "seconds"))
    cost = {} if steps is None or not len(steps) else {"steps": general(float(steps[-1]))}
    if seconds is not None and len(seconds):
        cost["seconds"] = f"{seconds[-1]:.0f}"
    return cost


def _rows(contents: Sequence[Mapping[str, Any]]) -> list[SettingRow]:
    flat = [flattened(content) for content in contents]
    keys = list(dict.fromkeys(key for one in flat for key in one))
    rows = []
    for key in keys:
        values = ["none" if one.get(key) is None else general(one[key]) for one in flat]
        rows.append(SettingRow(key, tuple(values[:1] if len(set(values)) == 1 else values)))
    return rows

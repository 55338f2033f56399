"""Compressed sensing of MNIST: which matrix, how many measurements, which training; trained, attacked and drawn.

    python docs/results/mnist_study.py --data MNIST_FOLDER --out runs/mnist

Runs the recipe `mnist` over the grids below, as `ctrobust sweep` does, and goes on where it was stopped; then prints
the table of docs/results/mnist.md and draws its figures from the result files. --draw: of what is there, no more runs.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ctrobust.recipes import read_recipe
from ctrobust.recipes.schema import METHOD_NAMES, Recipe
from ctrobust.reconstruct.load import build_projector
from ctrobust.report.numbers import error
from ctrobust.report.result import Measured
from ctrobust.report.runs import Run, read_runs
from ctrobust.report.style import COLOURS, drawing
from ctrobust.sweep import Point, make_grid, run_sweep

MATRICES = ["scan.geometry=gaussian,dct-submatrix", "scan.measurements=200,100,400"]
HUES = dict(zip(METHOD_NAMES, COLOURS, strict=False)) | {"pseudo-inverse": "#6e6e6e"}
IMAGES = Path(__file__).parent.parent / "images"
EPS = 0.1


def grids() -> Iterator[list[str]]:
    """The matrices met in practice with every method, then the condition number alone, and f from Aᵀy, not A⁺y."""
    yield MATRICES
    yield [*MATRICES, "method=pgd,jitter,universal"]
    yield [*MATRICES, "method=weight_decay", "regularize.weight_decay=1"]
    yield [*MATRICES, "method=parseval", "regularize.parseval_beta=0.02"]
    yield ["scan.geometry=spectrum", "scan.condition=1,10,100,1000"]
    yield ["scan.geometry=spectrum", "scan.condition=100", "scan.start=transpose"]


def name_of(recipe: Recipe) -> str:
    """The same in every grid."""
    scan = recipe.scan
    what = f"condition-{scan.condition:g}" if scan.geometry == "spectrum" else f"{scan.measurements}"
    started = "-transpose" if scan.start == "transpose" else ""
    return f"{recipe.method}-{scan.geometry}-{what}{started}"


def points(data: Path) -> list[Point]:
    return [
        Point(name_of(point.recipe), point.recipe)
        for assignments in grids()
        for point in make_grid("mnist", assignments, store=data)
    ]


@dataclass(frozen=True)
class Trained:
    """A run that is done, with what its matrix is."""

    run: Run
    recipe: Recipe
    condition: float

    @property
    def method(self) -> str:
        return str(self.recipe.method)

    @property
    def matrix(self) -> str:
        scan = self.recipe.scan
        kappa = np.format_float_positional(self.condition, precision=3, fractional=False, trim="-")
        started = ", from Aᵀy" if scan.start == "transpose" else ""
        return f"{scan.geometry}, m = {scan.measurements}, κ = {kappa}{started}"

    @property
    def found(self) -> str:
        """Share of the worst case (20 steps) that the method's own δ found at the end of training."""
        own, most = (self.run.history.get(name, np.empty(0)) for name in ("found", "found_20"))
        shares = (own / most)[np.isfinite(own)] if len(own) == len(most) else np.empty(0)
        return f"{shares[-1]:.0%}" if len(shares) else ""


def trained(out: Path) -> list[Trained]:
    folders = sorted(path.parent for path in out.glob("*/result.json"))
    conditions: dict[tuple[object, ...], float] = {}
    found = []
    for folder in folders:
        recipe = read_recipe(folder / "recipe.yaml")
        key = (recipe.scan, recipe.seed)
        if key not in conditions:
            conditions[key] = build_projector(recipe, "cpu").condition_number
        found.append(Trained(read_runs([folder])[0], recipe, conditions[key]))
    return sorted(found, key=_place)


def _place(one: Trained) -> tuple[object, ...]:
    scan = one.recipe.scan
    return scan.geometry, scan.measurements, one.condition, scan.start, METHOD_NAMES.index(one.method)


def table(runs: Sequence[Trained]) -> Iterator[str]:
    radii = [point.eps for point in runs[0].run.result.learned.curve]
    yield (
        "| A | method | PSNR dB | "
        + " | ".join(f"ρ̂({100 * eps:g} %)" for eps in radii)
        + " | random 10 % | finds |"
    )
    yield "|" + "---|" * (len(radii) + 5)
    matrix = ""
    for one in runs:
        if one.matrix != matrix:
            matrix = one.matrix
            control = one.run.result.reference
            assert control is not None
            yield _row(matrix, "pseudo-inverse", control, "")
        marked = one.method + " †" * bool(one.run.result.learned.failed)
        yield _row("", marked, one.run.result.learned, one.found)


def _row(matrix: str, method: str, measured: Measured, found: str) -> str:
    cells = [f"{measured.clean.psnr_db:.2f}"]
    for point in measured.curve:
        told = error(point.rho)
        if point.eps == EPS and point.rho_ci95:
            told += f" [{', '.join(map(error, point.rho_ci95))}]"
        cells.append(told)
    at = measured.at(EPS)
    cells.append("" if at is None else error(at.random))
    return f"| {matrix} | {method} | {' | '.join(cells)} | {found} |"


def draw_curves(runs: Sequence[Trained], name: str) -> None:
    """ρ̂(ε) of all methods: a row for each kind of matrix, in it a panel for each number of measurements."""
    kinds = sorted({str(one.recipe.scan.geometry) for one in runs})
    counts = sorted({one.recipe.scan.measurements for one in runs})
    figure = Figure(figsize=(3.4 * len(counts) + 0.6, 3.3 * len(kinds) + 0.6), layout="constrained")
    panels = figure.subplots(len(kinds), len(counts), sharey="row", squeeze=False)
    for matrix in dict.fromkeys(one.matrix for one in runs):
        mine = [one for one in runs if one.matrix == matrix]
        scan = mine[0].recipe.scan
        axes = panels[kinds.index(str(scan.geometry)), counts.index(scan.measurements)]
        control = mine[0].run.result.reference
        if control is not None:
            _curve(axes, control, "pseudo-inverse")
        for one in mine:
            _curve(axes, one.run.result.learned, one.method)
        axes.set_title(matrix, loc="left", fontsize=9)
        axes.set_yscale("log")
    for axes in panels[-1]:
        axes.set_xlabel("ε = ‖δ‖ / ‖y‖, %")
    for axes in panels[:, 0]:
        axes.set_ylabel("ρ̂(ε), Σ (x̂ − x)²; dotted: random δ")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    figure.savefig(IMAGES / name, dpi=110)


def _curve(axes: Axes, measured: Measured, method: str) -> None:
    eps = [100 * point.eps for point in measured.curve]
    axes.plot(eps, [point.rho for point in measured.curve], "o-", ms=3, color=HUES[method], label=method)
    axes.plot(eps, [point.random for point in measured.curve], ":", lw=1, color=HUES[method])
    bounds = [point.rho_ci95 for point in measured.curve if point.rho_ci95]
    if len(bounds) == len(eps):
        axes.fill_between(eps, *np.transpose(bounds), color=HUES[method], alpha=0.12, lw=0)


def draw_condition(runs: Sequence[Trained], name: str) -> None:
    """Clean and worst-case error against the condition number alone."""
    figure = Figure(figsize=(6.2, 3.9), layout="constrained")
    axes = figure.subplots()
    for method in ("erm", "minmax"):
        mine = [one for one in runs if one.method == method]
        _against(axes, mine, [one.run.result.learned for one in mine], method)
    first = [one for one in runs if one.method == "erm" and one.run.result.reference]
    _against(
        axes, first, [one.run.result.reference for one in first if one.run.result.reference], "pseudo-inverse"
    )
    axes.set(xscale="log", yscale="log", xlabel="condition number of A, 200 × 784", ylabel="Σ (x̂ − x)²")
    axes.set_title(f"Solid: ρ̂({EPS:.0%}); dashed: clean; bands: 95 %", loc="left")
    axes.legend()
    figure.savefig(IMAGES / name, dpi=110)


def _against(axes: Axes, runs: Sequence[Trained], measured: Sequence[Measured], method: str) -> None:
    conditions = [one.condition for one in runs]
    for eps, line in ((EPS, "o-"), (0.0, "s--")):
        found = [point for one in measured if (point := one.at(eps))]
        label = method if eps else None
        axes.plot(conditions, [point.rho for point in found], line, ms=4, color=HUES[method], label=label)
        bounds = [point.rho_ci95 for point in found if point.rho_ci95]
        if len(bounds) == len(conditions):
            axes.fill_between(conditions, *np.transpose(bounds), color=HUES[method], alpha=0.12, lw=0)


def draw_digits(runs: Sequence[Trained], name: str) -> None:
    """A digit a matrix: truth, then each method clean and under its own worst δ."""
    matrices = list(dict.fromkeys(one.matrix for one in runs))
    most = max(sum(one.matrix == matrix for one in runs) for matrix in matrices)
    figure = Figure(figsize=(1.35 * (most + 2), 2.95 * len(matrices)), layout="constrained")
    panels = figure.subplots(2 * len(matrices), most + 2, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    for place, matrix in enumerate(matrices):
        mine = [one for one in runs if one.matrix == matrix and one.run.examples is not None]
        examples = [one.run.examples for one in mine if one.run.examples is not None]
        pairs = [("truth", examples[0].truth[0], None)]
        pairs += [("pseudo-inverse", examples[0].fbp_clean[0], examples[0].fbp_attacked[0])]
        pairs += [
            (one.method, own.f_clean[0], own.f_attacked[0]) for one, own in zip(mine, examples, strict=True)
        ]
        for column, (title, clean, attacked) in enumerate(pairs):
            panels[2 * place, column].imshow(clean, cmap="gray", vmin=0, vmax=1)
            panels[2 * place, column].set_title(title, fontsize=8)
            if attacked is not None:
                panels[2 * place + 1, column].imshow(attacked, cmap="gray", vmin=0, vmax=1)
        kappa = matrix.rpartition(", ")[2]
        told = (
            f"{mine[0].recipe.scan.geometry}\n{kappa}\n\nabove: clean\nbelow: under the\nworst δ of {EPS:.0%}"
        )
        panels[2 * place + 1, 0].text(0, 0.5, told, fontsize=7.5, va="center")
    figure.savefig(IMAGES / name, dpi=110)


def draw(runs: Sequence[Trained]) -> None:
    main = [one for one in runs if one.recipe.scan.geometry != "spectrum"]
    at_200 = [one for one in main if one.recipe.scan.measurements == 200]
    with drawing():
        draw_curves(main, "mnist-methods.png")
        draw_digits(at_200, "mnist-digits.png")
        scans = [(one, one.recipe.scan) for one in runs]
        spectrum = [one for one, scan in scans if scan.geometry == "spectrum" and scan.start == "pinv"]
        if spectrum:
            draw_condition(spectrum, "mnist-condition.png")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="the folder of MNIST's files")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--draw", action="store_true")
    arguments = parser.parse_args()
    if not arguments.draw:
        if arguments.data is None:
            parser.error("--data: give the folder of MNIST's files")
        failed = run_sweep(points(arguments.data), arguments.out)
        if failed:
            raise SystemExit(f"{len(failed)} points failed: {failed}")
    runs = trained(arguments.out)
    print("\n".join(table(runs)))
    draw(runs)


if __name__ == "__main__":
    main()

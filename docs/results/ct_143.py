"""The paper's CT experiment as far as two cores go: 143 views, by slice as published and by patient, at several doses.

    python docs/results/ct_143.py --data ct.h5 --out runs/ct-143

Runs the recipe `ct-143` at 512×512, at 256×256 and at 128×128 at several doses over the grids below, and goes on where
it was stopped; then prints the table of docs/results/ct-143.md and draws its figure. --draw: of what is there.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from skimage.segmentation import flood

from ctrobust.core.units import hu_from_relative
from ctrobust.evaluate.metrics import psnr_db
from ctrobust.evaluate.selection import evenly
from ctrobust.experiment import open_experiment
from ctrobust.recipes import read_recipe
from ctrobust.recipes.schema import Recipe
from ctrobust.reconstruct import load
from ctrobust.report.result import Measured
from ctrobust.report.runs import Run, read_runs
from ctrobust.report.style import drawing
from ctrobust.store.reader import Store
from ctrobust.store.split import make_split, write_split
from ctrobust.sweep import Point, make_grid, run_sweep
from ctrobust.threat.ascent import squared_error

IMAGE = Path(__file__).parent.parent / "images" / "ct-143-slice.png"
PROTOCOLS = ("slice", "patient")
SISTERS = ("apart", "together")
DOSES = "scan.photons=null,1e6,1e5,1e4"
SMALLER = ["network.base_channels=16", "threat.base_channels=8", "train.epochs=null", "train.steps=200"]
JUDGED = [
    "evaluate.slices=3",
    "evaluate.eps=[0, 0.01, 0.02, 0.04]",
    "evaluate.steps=50",
    "evaluate.restarts=1",
]
FULL = ["train.batch_size=4"]
FEWER = [
    "evaluate.slices=3",
    "evaluate.batch_size=1",
    "evaluate.eps=[0, 0.02]",
    "evaluate.steps=30",
    "evaluate.restarts=1",
    "evaluate.precision=bf16",
]
CLEAN = ["evaluate.slices=null", "evaluate.eps=[0, 0.02]", "evaluate.steps=10", "evaluate.restarts=1"]
EPS = 0.02


def points(data: Path, out: Path) -> Iterator[Point]:
    """By slice and by patient at 512×512 and 256×256, the doses at 128×128, then what sister slices in training are
    worth.
    """
    splits = {by: split_file(data, by, out) for by in PROTOCOLS}
    both = ",".join(map(str, splits.values()))
    full = ["data.size=512", f"data.split={both}", *FULL, *FEWER]
    large = ["data.size=256", f"data.split={both}", *JUDGED]
    noisy = ["data.size=128", f"data.split={splits['patient']}", DOSES, *JUDGED]
    sisters = ["method=erm", f"data.split={','.join(map(str, sister_files(data, out)))}", "seed=0,1"]
    for axes in (full, large, noisy):
        for point in make_grid("ct-143", ["method=erm,minmax", *SMALLER, *axes], store=data):
            yield replace(point, name=name_of(point.recipe))
    for point in make_grid("ct-143", [*sisters, "data.size=128", *SMALLER, *CLEAN], store=data):
        yield replace(point, name=f"{name_of(point.recipe)}-{point.recipe.seed}")


def split_file(data: Path, by: str, out: Path) -> Path:
    """The published proportion, 221 of 1105."""
    path = out / f"{by}.json"
    if not path.exists():
        out.mkdir(parents=True, exist_ok=True)
        with Store(data) as store:
            write_split(make_split(store, by=by, eval_fraction=0.2), path)
    return path


def sister_files(data: Path, out: Path) -> list[Path]:
    """Two splits that judge the same slices, every other one of the patients that `patient` judges.

    apart: none of those patients in training. together: their other slices in it, instead of as many of other patients.
    """
    paths = [out / f"{name}.json" for name in SISTERS]
    with Store(data) as store:
        base = make_split(store, by="patient", eval_fraction=0.2)
    kept = evenly(base.train, len(base.train) - len(base.eval[::2]))
    for path, train in zip(paths, (base.train, sorted([*kept, *base.eval[::2]])), strict=True):
        if not path.exists():
            write_split(replace(base, by="list", train=tuple(train), eval=base.eval[1::2]), path)
    return paths


def name_of(recipe: Recipe) -> str:
    dose = "" if recipe.scan.photons is None else f"-{recipe.scan.photons:.0e}"
    return f"{recipe.method}-{recipe.data.size}-{Path(str(recipe.data.split)).stem}{dose}"


def table(runs: Sequence[Run]) -> Iterator[str]:
    radii = sorted({point.eps for run in runs for point in run.result.learned.curve})
    yield (
        "| size, split, photons | method | PSNR dB | over its FBP, dB | SSIM | "
        + " | ".join(f"ρ̂({100 * eps:g} %)" for eps in radii)
        + " | random 2 % |"
    )
    yield "|" + "---|" * (len(radii) + 6)
    told = ""
    for run in runs:
        control = run.result.reference
        assert control is not None
        if told != setting(run):
            told = setting(run)
            yield row(told, "FBP", control, control, radii)
        marked = run.result.learned.method + " †" * bool(run.result.learned.failed)
        yield row(told, marked, run.result.learned, control, radii)


def setting(run: Run) -> str:
    photons = run.setting("scan", "photons")
    by = run.result.data["split_by"]
    return f"{run.setting('data', 'size')}, {by}, {'∞' if photons is None else f'{photons:.0e}'}"


def row(told: str, method: str, measured: Measured, control: Measured, radii: Sequence[float]) -> str:
    clean, at = measured.clean, measured.at(EPS)
    gain = clean.psnr_db - control.clean.psnr_db
    cells = [f"{clean.psnr_db:.2f}", f"{gain:+.2f}", f"{clean.ssim:.3f}"]
    cells += ["" if (point := measured.at(eps)) is None else f"{point.rho:.0f}" for eps in radii]
    assert at is not None
    return f"| {told} | {method} | {' | '.join(cells)} | {at.random:.0f} |"


def leakage(runs: Sequence[Run]) -> Iterator[str]:
    """Clean PSNR on all slices of the evaluation part, nobody attacking, over FBP's on the same slices."""
    yield "| split | method | seed | slices | FBP, dB | f, dB | gain, dB |\n|---|---|---|---|---|---|---|"
    for run in runs:
        experiment = open_experiment(read_recipe(run.folder / "recipe.yaml"), split=run.folder / "split.json")
        f, judged = load(run.folder), experiment.split.eval
        found = []
        for index in judged:
            y, x = experiment.pair([index])
            with torch.no_grad():
                errors = [float(squared_error(arm, y, x)) for arm in (experiment.projector.fbp, f)]
            found.append(psnr_db(np.array(errors) / x.numel()))
        direct, learned = np.mean(found, axis=0)
        by = Path(str(run.setting("data", "split"))).stem
        told = f"{by} | {run.result.learned.method} | {run.settings['seed']} | {len(judged)}"
        yield f"| {told} | {direct:.2f} | {learned:.2f} | {learned - direct:+.2f} |"


def draw(runs: Sequence[Run]) -> None:
    """Truth, FBP and each method: clean, zoomed at one place for all; attacked, zoomed where δ does most, and the truth
    there.

    FBP is shown under the δ made for the first.
    """
    examples = [run.examples for run in runs if run.examples is not None]
    first, truth = examples[0], examples[0].truth[0]
    columns = [("FBP", first.fbp_clean[0], first.fbp_attacked[0])]
    columns += [
        (run.result.learned.method, own.f_clean[0], own.f_attacked[0])
        for run, own in zip(runs, examples, strict=True)
    ]
    figure = Figure(figsize=(2.3 * (len(columns) + 1), 11.8), layout="constrained")
    panels = figure.subplots(5, len(columns) + 1)
    for axes in panels.flat:
        axes.set_axis_off()
    inside = most_detailed(truth)
    panels[0, 0].set_title("truth")
    show(*panels[:2, 0], truth, inside)
    for place, (name, clean, attacked) in enumerate(columns, 1):
        panels[0, place].set_title(name)
        show(*panels[:2, place], clean, inside)
        struck = most(np.square(attacked - clean))
        show(*panels[2:4, place], attacked, struck)
        zoom(panels[4, place], truth, struck)
    told = (
        (0, 0, "clean"),
        (1, 0, "zoomed"),
        (2, 1, f"attacked,\nε = {EPS:.0%}"),
        (3, 1, "zoomed"),
        (4, 1, "truth there"),
    )
    for row, column, words in told:
        axes = panels[row, column]
        axes.text(-0.06, 0.5, words, rotation=90, va="center", ha="right", transform=axes.transAxes)
    figure.savefig(IMAGE, dpi=90)


Box = tuple[int, int, int]
"""Top, left and side of a square."""


def show(whole: Axes, zoomed: Axes, image: NDArray[np.float64], box: Box) -> None:
    """The image with its box drawn, and what is in it."""
    top, left, side = box
    whole.imshow(hu_from_relative(image), cmap="gray", vmin=-1000, vmax=400)
    whole.add_patch(Rectangle((left, top), side, side, fill=False, edgecolor="#ffb000", lw=1))
    zoom(zoomed, image, box)


def zoom(axes: Axes, image: NDArray[np.float64], box: Box) -> None:
    top, left, side = box
    axes.imshow(
        hu_from_relative(image)[top : top + side, left : left + side], cmap="gray", vmin=-1000, vmax=400
    )


def most_detailed(image: NDArray[np.float64]) -> Box:
    """Where lung, tissue and bone meet: the most edges, of squares without the air outside the body."""
    hu = np.clip(hu_from_relative(image), -1000, 400)
    edges = np.hypot(*np.gradient(hu))
    outside = flood(hu < -500, (0, 0)) if hu[0, 0] < -500 else np.zeros(hu.shape, bool)
    return most(np.where(outside, -edges.max(), edges))


def most(score: NDArray[np.float64]) -> Box:
    """The square of a quarter of the width with the largest sum."""
    side = len(score) // 4
    total = np.pad(np.cumsum(np.cumsum(score, 0), 1), ((1, 0), (1, 0)))
    sums = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    top, left = np.unravel_index(np.argmax(sums), sums.shape)
    return int(top), int(left), side


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a store, as `ctrobust ingest` makes it")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--draw", action="store_true")
    arguments = parser.parse_args()
    if not arguments.draw:
        if arguments.data is None:
            parser.error("--data: give a store")
        failed = run_sweep(list(points(arguments.data, arguments.out)), arguments.out)
        if failed:
            raise SystemExit(f"{len(failed)} points failed: {failed}")
    runs = sorted(
        read_runs([path.parent for path in arguments.out.glob("*/result.json")]),
        key=lambda run: (
            -run.setting("data", "size"),
            run.result.data["split_by"] != "slice",
            -(run.setting("scan", "photons") or np.inf),
            run.result.learned.method,
        ),
    )
    print("\n".join(table([run for run in runs if run.result.data["split_by"] != "list"])))
    print("\n".join(leakage([run for run in runs if run.setting("scan", "photons") is None])))
    with drawing():
        draw([run for run in runs if setting(run) == "512, patient, ∞"])


if __name__ == "__main__":
    main()

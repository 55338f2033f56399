"""Compressed sensing in colour: a smoke run of the recipe `celeba`, and a real curve on patches of photographs.

    python docs/results/faces_study.py --faces FOLDER --out runs/faces

patches   photographs of scikit-image that come inside its wheel, cut into 32 × 32 patches and divided by photograph;
          erm and minmax by a Gaussian matrix and by an ill-conditioned part of a DCT
smoke     --faces: a folder of small pictures of faces, written into the layout of CelebA (178 × 218 and a list of
          parts), and a few steps of the recipe `celeba` on them: that it runs, and no more
Prints a table and draws docs/images/faces-patches.png. Goes on where it was stopped; --draw: of what is there.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import skimage
from matplotlib.figure import Figure
from PIL import Image

from ctrobust.recipes import load_recipe, read_recipe
from ctrobust.reconstruct.load import build_projector
from ctrobust.report.compare import direct_name
from ctrobust.report.result import Measured
from ctrobust.report.runs import Run, read_runs
from ctrobust.report.style import colour, drawing
from ctrobust.study import run_study
from ctrobust.sweep import make_grid, run_sweep

IMAGES = Path(__file__).parent.parent / "images"
EPS = 0.1
PHOTOGRAPHS = {
    # Two views of one scene, so in one part.
    "train": (
        "coffee.png",
        "motorcycle_left.png",
        "motorcycle_right.png",
        "retina.jpg",
        "hubble_deep_field.jpg",
    ),
    "val": ("rocket.jpg",),
    "test": ("astronaut.png", "chelsea.png", "ihc.png"),
}
SMALL = [
    "data.pictures=patches",
    "data.size=32",
    "scan.measurements=256",
    "scan.transform_size=3072",
    "network.base_channels=8",
    "network.levels=3",
    "train.steps=900",
    "train.batch_size=16",
    "train.checkpoint_every=300",
    "train.log_every=10",
    "train.precision=fp32",
    "threat.lr=3e-3",
    "evaluate.eps=[0,0.05,0.1,0.2]",
    "evaluate.steps=40",
    "evaluate.slices=48",
]
SMOKE = [
    "train.steps=20",
    "train.batch_size=4",
    "network.base_channels=8",
    "evaluate.steps=10",
    "evaluate.slices=8",
]


def write_photographs(folder: Path) -> Path:
    """train/, val/ and test/ with the colour photographs of the installed scikit-image."""
    source = Path(skimage.__file__).parent / "data"
    for part, names in PHOTOGRAPHS.items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / part / name).write_bytes((source / name).read_bytes())
    return folder


def write_celeba(faces: Path, folder: Path) -> Path:
    """Pictures of faces in the published layout: enlarged to the width of an aligned face, black above and below."""
    images = folder / "img_align_celeba"
    images.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, path in enumerate(sorted(faces.glob("*.png")), start=1):
        aligned = Image.new("RGB", (178, 218))
        with Image.open(path) as face:
            aligned.paste(face.convert("RGB").resize((178, 178), Image.Resampling.BICUBIC), (0, 20))
        aligned.save(images / f"{number:06d}.jpg", quality=95)
        # Of every four faces two train, one selects, one judges.
        lines.append(f"{number:06d}.jpg {(0, 0, 1, 2)[number % 4]}\n")
    (folder / "list_eval_partition.txt").write_text("".join(lines))
    return folder


def run(faces: Path | None, out: Path) -> None:
    if faces is not None:
        recipe = load_recipe("celeba", SMOKE)
        layout = write_celeba(faces, out / "celeba-layout").resolve()
        run_study(replace(recipe, data=replace(recipe.data, store=str(layout))), out / "smoke")
    grid = [*SMALL, "scan.geometry=dct-submatrix,gaussian", "method=erm,minmax"]
    failed = run_sweep(
        make_grid("celeba", grid, store=write_photographs(out / "photographs")), out / "patches"
    )
    if failed:
        raise SystemExit(f"{len(failed)} points failed: {failed}")


def table(runs: Sequence[Run]) -> Iterator[str]:
    radii = [point.eps for point in runs[0].result.learned.curve]
    yield (
        "| A | method | PSNR dB | SSIM | "
        + " | ".join(f"ρ̂({100 * eps:g} %)" for eps in radii)
        + " | random 10 % |"
    )
    yield "|" + "---|" * (len(radii) + 5)
    shown: dict[object, float] = {}
    for one in runs:
        matrix = one.setting("scan", "geometry")
        control = one.result.reference
        if matrix not in shown:
            A = build_projector(read_recipe(one.folder / "recipe.yaml"), "cpu")
            shown[matrix] = A.condition_number
            if control is not None:
                yield _row(f"{matrix}, κ = {shown[matrix]:.2g}", direct_name(one), control)
        yield _row(f"{matrix}, κ = {shown[matrix]:.2g}", one.result.learned.method, one.result.learned)


def _row(matrix: str, method: str, measured: Measured) -> str:
    clean, curve, at = measured.clean, measured.curve, measured.at(EPS)
    rho = " | ".join(f"{point.rho:.1f}" for point in curve)
    random = "" if at is None else f"{at.random:.1f}"
    return f"| {matrix} | {method} | {clean.psnr_db:.2f} | {clean.ssim:.3f} | {rho} | {random} |"


def draw(runs: Sequence[Run]) -> None:
    matrices = list(dict.fromkeys(one.setting("scan", "geometry") for one in runs))
    with drawing():
        figure = Figure(figsize=(4.2 * len(matrices), 3.7), layout="constrained")
        panels = figure.subplots(1, len(matrices), sharey=True, squeeze=False)[0]
        for axes, matrix in zip(panels, matrices, strict=True):
            mine = [one for one in runs if one.setting("scan", "geometry") == matrix]
            lines = [
                (one.result.learned.method, colour(place), one.result.learned)
                for place, one in enumerate(mine)
            ]
            control = mine[0].result.reference
            if control is not None:
                lines.append((direct_name(mine[0]), "#6e6e6e", control))
            for label, hue, measured in lines:
                eps = [100 * point.eps for point in measured.curve]
                axes.plot(eps, [point.rho for point in measured.curve], "o-", ms=3, color=hue, label=label)
                axes.plot(eps, [point.random for point in measured.curve], ":", lw=1, color=hue)
            axes.set(yscale="log", xlabel="ε = ‖δ‖ / ‖y‖, %")
            axes.set_title(str(matrix), loc="left")
        panels[0].set_ylabel("ρ̂(ε), Σ (x̂ − x)²; dotted: random δ")
        panels[0].legend()
        figure.savefig(IMAGES / "faces-patches.png", dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faces", type=Path, help="small pictures of faces, for the smoke run")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--draw", action="store_true")
    arguments = parser.parse_args()
    if not arguments.draw:
        run(arguments.faces, arguments.out)
    runs = read_runs(sorted(path.parent for path in (arguments.out / "patches").glob("*/result.json")))
    print("\n".join(table(runs)))
    draw(runs)


if __name__ == "__main__":
    main()

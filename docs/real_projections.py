"""From a Data Exchange file to pictures of one slice by FBP and TV; explained in docs/real-projections.md.

python docs/real_projections.py tooth.h5 --out tooth.png
"""

import argparse
from pathlib import Path

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctrobust.core.errors import UserError
from ctrobust.core.geometry import ParallelBeam
from ctrobust.ingest.data_exchange import read_projections
from ctrobust.operators import Projector
from ctrobust.operators.calibration import bin_shift, find_centre, line_integrals, transmission
from ctrobust.reconstruct import total_variation

OFFSETS = (-4, -2, -1, -0.5, 0, 0.5, 1, 2, 4, 10)


def main() -> None:
    settings = parse()
    scan = read_projections(settings.file, rows=slice(settings.row, settings.row + 1))
    y = line_integrals(transmission(scan.data, scan.white, scan.dark))[:, 0]
    print(f"{y.shape[0]} views of {y.shape[1]} bins, y from {y.min():.3f} to {y.max():.3f}")

    centre = find_centre(y, scan.angles_rad) if settings.centre is None else settings.centre
    print(f"centre of rotation: bin {centre:.2f}")
    judge_centres(y, scan.angles_rad, centre, settings.size)

    A = projector(settings.size, scan.angles_rad, y.shape[1], centre)
    sinogram = torch.from_numpy(y)[None, None]
    fbp = A.fbp(sinogram)
    tv = total_variation(
        A, sinogram, weight=settings.weight, iterations=settings.iterations, start=fbp, progress=True
    )
    middle = projector(settings.size, scan.angles_rad, y.shape[1], (y.shape[1] - 1) / 2)
    for name, x in {"FBP": fbp, "TV": tv.x}.items():
        print(f"{name}: ‖A x − y‖ = {float((A(x) - sinogram).norm() / sinogram.norm()):.4f} ‖y‖")
    show(
        {
            "FBP, axis taken to be in the middle": middle.fbp(sinogram),
            f"FBP, axis at bin {centre:.2f}": fbp,
            f"TV, weight {settings.weight:g}": tv.x,
        },
        settings.out,
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Reconstruct one slice of a Data Exchange file.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--out", type=Path, default=Path("slice.png"), help="the picture, PNG")
    parser.add_argument("--row", type=int, default=0, help="detector row")
    parser.add_argument(
        "--centre", type=float, help="bin of the axis of rotation; found where it is not given"
    )
    parser.add_argument("--size", type=int, default=400, help="pixels a side, each as wide as a bin")
    parser.add_argument("--weight", type=float, default=0.1, help="of the total variation")
    parser.add_argument("--iterations", type=int, default=200)
    return parser.parse_args()


def projector(size: int, angles_rad: NDArray[np.float64], bins: int, centre: float) -> Projector:
    return Projector(ParallelBeam(size, angles_rad, bins=bins, bin_shift=bin_shift(centre, bins)))


def judge_centres(y: NDArray[np.floating], angles_rad: NDArray[np.float64], centre: float, size: int) -> None:
    """Print how the FBP fares with other centres: what it leaves below 0, and what it does not explain of y."""
    sinogram = torch.from_numpy(y)[None, None]
    print("offset, bins   ‖min(x, 0)‖/‖x‖   ‖A max(x, 0) − y‖/‖y‖")
    for offset in OFFSETS:
        A = projector(size, angles_rad, y.shape[1], centre + offset)
        x = A.fbp(sinogram)
        below, missed = x.clamp_max(0).norm() / x.norm(), (A(x.clamp_min(0)) - sinogram).norm()
        print(f"{offset:+12.1f}   {float(below):15.4f}   {float(missed / sinogram.norm()):21.4f}")


def show(pictures: dict[str, Tensor], out: Path) -> None:
    """One grey scale for all, from 0 to the attenuation that one pixel in a hundred exceeds, and a tenth."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    top = 1.1 * float(np.percentile(list(pictures.values())[-1], 99))
    figure, panels = pyplot.subplots(1, len(pictures), figsize=(4 * len(pictures), 4.3), layout="constrained")
    for panel, (title, x) in zip(panels, pictures.items(), strict=True):
        panel.imshow(x[0, 0], cmap="gray", vmin=0, vmax=top)
        panel.set_title(title, fontsize=10)
        panel.axis("off")
    figure.savefig(out, dpi=110)
    print(f"{out}: grey from 0 to {top:.4f} per bin")


if __name__ == "__main__":
    try:
        main()
    except (UserError, ValueError) as mistake:
        raise SystemExit(str(mistake)) from None

"""The figures of docs/concepts.md, on one embedded phantom: python docs/concepts.py (half a minute)."""

import math
from pathlib import Path

import numpy as np
import torch
from ctrobust_datasets.synthetic import draw_patient, patient_seed
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ctrobust.core.geometry import ParallelBeam
from ctrobust.core.units import relative_from_hu
from ctrobust.operators import Projector
from ctrobust.theory import minmax_filter, pseudo_inverse_filter, tikhonov_filter
from ctrobust.threat import L2Ball, ProjectedGradientAscent

IMAGES = Path(__file__).parent / "images"
EPS = 0.02
GREYS = {"cmap": "gray", "vmin": 0.7, "vmax": 1.3}
"""−300 to 300 HU."""


def main() -> None:
    patient = draw_patient(patient_seed(0, 0), slices=3, size=128)
    x = torch.from_numpy(relative_from_hu(patient.volume_hu[1:2])[None])
    A = Projector(ParallelBeam(128, 36, pixel_mm=patient.pixel_mm))
    y = A(x)
    draw_measurement(x, y, A.fbp(y))
    draw_attack(A, x, y)
    draw_filters()


def draw_measurement(x: Tensor, y: Tensor, x_hat: Tensor) -> None:
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    panels = figure.subplots(1, 3)
    show(panels[0], x, "x: the slice")
    panels[1].imshow(y[0, 0], cmap="gray", aspect="auto")
    panels[1].set(title="y = A x: 36 views, one a row", xlabel="bin", ylabel="view")
    show(panels[2], x_hat, f"FBP of y: {psnr_db(x_hat, x):.1f} dB")
    figure.savefig(IMAGES / "concepts-measurement.png", dpi=100)


def draw_attack(A: Projector, x: Tensor, y: Tensor) -> None:
    """Two δ of one length, and what FBP makes of them."""
    budget = L2Ball(EPS)
    noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    shown = {
        "none": torch.zeros_like(y),
        "at random": noise * EPS * y.norm() / noise.norm(),
        "the worst found": ProjectedGradientAscent(budget)(A.fbp, y, x),
    }
    figure = Figure(figsize=(9, 6.2), layout="constrained")
    panels = figure.subplots(2, 3)
    top = float(shown["the worst found"].abs().max())
    for column, (name, delta) in enumerate(shown.items()):
        x_hat = A.fbp(y + delta)
        error = float((x_hat - x).square().sum())
        print(
            f"δ {name}: size {float(budget.size(delta, y)):.4f}, squared error {error:.0f}, {psnr_db(x_hat, x):.1f} dB"
        )
        panels[0, column].imshow(delta[0, 0], cmap="RdBu", vmin=-top / 4, vmax=top / 4, aspect="auto")
        panels[0, column].set(title=f"δ: {name}", xticks=[], yticks=[])
        show(panels[1, column], x_hat, f"‖f(y+δ) − x‖² = {error:.0f}")
    figure.savefig(IMAGES / "concepts-attack.png", dpi=100)


def draw_filters() -> None:
    S = np.geomspace(0.02, 2, 60)
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    panel = figure.subplots()
    panel.loglog(S, pseudo_inverse_filter(S), color="0.6", label="inverse, 1/S")
    panel.loglog(
        S,
        tikhonov_filter(S, 1.0, 1.0),
        color="#0072b2",
        linestyle="--",
        label="Tikhonov, best for the same objective",
    )
    panel.loglog(S, minmax_filter(S, 1.0, 1.0), color="#d55e00", label="min–max: clipped")
    panel.set(xlabel="singular value S of A", ylabel="gain q of the reconstruction")
    panel.legend(frameon=False)
    figure.savefig(IMAGES / "concepts-filter.png", dpi=100)


def show(panel: Axes, image: Tensor, title: str) -> None:
    panel.imshow(image[0, 0], **GREYS)
    panel.set(title=title, xticks=[], yticks=[])


def psnr_db(x_hat: Tensor, x: Tensor) -> float:
    return -10 * math.log10(float((x_hat - x).square().mean()))


if __name__ == "__main__":
    main()

"""Why the adversary looks at the measurement and not at the image: three reasons, exact for linear f.

    python docs/results/why_measurement.py --out docs/images/why-measurement.png [--run RUN]

Prints the tables of docs/results/why-measurement.md and draws its figure. With a trained run its f is asked the same,
by ascent. 1 minute; with a run, some minutes more.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, NullFormatter
from numpy.typing import NDArray
from skimage.data import shepp_logan_phantom
from skimage.transform import resize

from ctrobust.core.geometry import ParallelBeam
from ctrobust.operators import Projector, mismatch, sensing
from ctrobust.theory import pseudo_inverse_filter, reconstruction_matrix, tikhonov_filter, worst_perturbation

Array = NDArray[np.float64]

SIZES = (0.002, 0.005, 0.01, 0.02, 0.05)
"""η: ‖r‖ ≤ η‖x‖, the image-domain adversary's own constraint."""


@dataclass(frozen=True)
class Scene:
    """A (m, n), a linear reconstruction B (n, m) and an image x (n,)."""

    name: str
    A: Array
    B: Array
    x: Array

    @cached_property
    def left(self) -> Array:
        """(m, rank) a basis of Range(A)."""
        U, S, _ = np.linalg.svd(self.A, full_matrices=False)
        return np.asarray(U[:, S[0] * max(self.A.shape) * np.finfo(float).eps < S])

    @cached_property
    def seen(self) -> Array:
        """(m, n) a basis of all that B answers to: the worst δ lies there."""
        return np.asarray(np.linalg.svd(self.B, full_matrices=False)[2].T)

    def inside(self, delta: Array) -> float:
        """The share of ‖δ‖² that lies in Range(A)."""
        return float(np.square(self.left.T @ delta).sum() / np.square(delta).sum())

    def excess(self, delta: Array) -> float:
        """By how much δ raises the squared error."""
        clean = self.B @ self.A @ self.x - self.x
        return float(np.square(clean + self.B @ delta).sum() - np.square(clean).sum())


@dataclass(frozen=True)
class Comparison:
    """At one η: ‖A r‖/‖y‖, and what r, the worst δ in Range(A) of that norm, and the worst δ of that norm raise."""

    eta: float
    relative: float
    image: float
    in_range: float
    measurement: float
    outside: float
    """Share of the worst δ's energy that lies outside Range(A)."""


def compare(scene: Scene, eta: float) -> Comparison:
    """Every maximum is exact: a trust-region problem, `ctrobust.theory.worst_perturbation`."""
    A, B, x, U = scene.A, scene.B, scene.x, scene.left
    clean = B @ A @ x - x
    through_A = A @ worst_perturbation(B @ A, clean, eta * float(np.linalg.norm(x)))
    norm = float(np.linalg.norm(through_A))
    within = U @ worst_perturbation(B @ U, clean, norm)
    worst = scene.seen @ worst_perturbation(B @ scene.seen, clean, norm)
    return Comparison(
        eta,
        norm / float(np.linalg.norm(A @ x)),
        scene.excess(through_A),
        scene.excess(within),
        scene.excess(worst),
        1 - scene.inside(worst),
    )


def phantom(size: int) -> Array:
    """The Shepp–Logan phantom, (size²,)."""
    return np.asarray(resize(shepp_logan_phantom(), (size, size), anti_aliasing=True), np.float64).ravel()


def ct(views: int, size: int = 24) -> tuple[Projector, Array]:
    """A projector of a 240 mm image with two bins a pixel, as scanners have them, and its matrix (m, n)."""
    A = Projector(ParallelBeam(size, views, pixel_mm=240 / size, bin_mm=120 / size))
    units = torch.eye(size * size, dtype=torch.float64).reshape(-1, 1, size, size)
    return A, A(units).flatten(1).T.numpy()


def scenes() -> Iterator[Scene]:
    """Full row rank; more rays than pixels; ill-conditioned. Each f is linear, so that every figure is exact."""
    A, M = ct(views=60)
    units = torch.eye(M.shape[0], dtype=torch.float64).reshape(-1, 1, *A.geometry.sinogram_shape)
    fbp = torch.cat([A.fbp(some) for some in torch.split(units, 64)]).flatten(1).T.numpy()
    yield Scene("CT, 60 views of 24², FBP: rank-deficient", M, fbp, phantom(24))
    yield Scene(
        "the same scan, a linear layer trained from PyTorch's start", M, _trained_layer(M), phantom(24)
    )
    gaussian = sensing.gaussian(200, 24, seed=0)
    yield _filtered("Gaussian, 200 × 576, pseudo-inverse: full row rank", gaussian, pseudo_inverse_filter)
    spectrum = np.geomspace(1, 1e-3, 576)
    steep = sensing.prescribed_spectrum(spectrum, 24, seed=0)
    yield _filtered("square, condition 1000, inverse: ill-conditioned", steep, pseudo_inverse_filter)
    yield _filtered("the same, Tikhonov", steep, lambda S: tikhonov_filter(S, 0.02, 1.0))


def _trained_layer(A: Array) -> Array:
    """(n, m) where gradient descent on E ‖BAx − x‖² ends: outside Range(A) B has no gradient and stays as drawn."""
    torch.manual_seed(0)
    start = torch.nn.Linear(*A.shape, bias=False).weight.detach().double().numpy()
    inverse = np.linalg.pinv(A)
    return np.asarray(inverse + start - start @ A @ inverse)


def _filtered(name: str, A: sensing.DenseOperator, design) -> Scene:  # type: ignore[no-untyped-def]
    U, S, Vh = (part.numpy() for part in A.svd)
    return Scene(name, A.matrix.numpy(), reconstruction_matrix(U, design(S), Vh), phantom(24))


def mismatches(scene: Scene) -> Iterator[tuple[str, float, float, float]]:
    """Of δ = (Ã − A)x for a scanner that is a little off: name, ‖δ‖/‖y‖, share outside Range(A), and the share of the
    error it causes that is lost when only its part in Range(A) is seen."""
    size = round(len(scene.x) ** 0.5)
    A = ct(views=60, size=size)[0]
    wrong = {
        "angles off by 0.2°": mismatch.angle_jitter(A.geometry, np.deg2rad(0.2), 0),
        "centre off by 1 mm": mismatch.centre_shift(A.geometry, 1.0),
        "detector tilted by 1°": mismatch.detector_tilt(A.geometry, np.deg2rad(1.0)),
        "pixels 1 % larger": mismatch.wrong_pixel_size(A.geometry, 1.01),
    }
    image, U = torch.from_numpy(scene.x).reshape(1, 1, size, size), scene.left
    for name, geometry in wrong.items():
        delta = (Projector(geometry)(image) - A(image)).numpy().ravel()
        relative = np.linalg.norm(delta) / np.linalg.norm(scene.A @ scene.x)
        seen = U @ (U.T @ delta)
        caused, left = (float(np.square(scene.B @ part).sum()) for part in (delta, seen))
        yield name, float(relative), 1 - scene.inside(delta), 1 - left / caused


def draw(found: dict[str, list[Comparison]], off: list[tuple[str, float, float, float]]) -> Figure:
    """A panel a scene, and one for the mismatch."""
    figure = Figure(figsize=(12, 7), layout="constrained")
    panels = figure.subplots(2, 3).ravel()
    for panel, (name, rows) in zip(panels, found.items(), strict=False):
        sizes = [100 * row.relative for row in rows]
        for label, colour, style, values in (
            ("measurement domain", "#d55e00", "o-", [row.measurement for row in rows]),
            ("‖A r‖ held instead of ‖r‖", "#009e73", "s--", [row.in_range for row in rows]),
            ("image domain, ‖r‖ held", "#0072b2", "^-", [row.image for row in rows]),
        ):
            panel.loglog(sizes, values, style, color=colour, label=label, markersize=4)
        panel.set_title(name.replace(": ", "\n"), fontsize=9)
        panel.set_xlabel("‖δ‖/‖y‖, %")
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("rise of ‖f(y+δ) − x‖²")
    panels[0].legend(fontsize=7)
    last = panels[-1]
    last.barh([name for name, *_ in off], [100 * outside for *_, outside, _ in off], color="#cc79a7")
    last.set_title("(Ã − A)x of a scanner that is off\nshare outside Range(A)", fontsize=9)
    last.set_xlabel("%")
    last.set_xlim(0, 100)
    return figure


def of_a_run(folder: Path, slices: int = 4) -> None:
    """The same question to a trained f, by ascent: image domain, Range(A), measurement domain."""
    from ctrobust.evaluate.selection import evenly
    from ctrobust.experiment import open_experiment
    from ctrobust.instability.tiny import _Lengths
    from ctrobust.recipes import read_recipe
    from ctrobust.reconstruct import load
    from ctrobust.threat import L2Ball, ProjectedGradientAscent
    from ctrobust.threat.ascent import squared_error
    from ctrobust.threat.budget import norms
    from ctrobust.threat.image_domain import ImageDomain

    f = load(folder)
    experiment = open_experiment(read_recipe(folder / "recipe.yaml"), split=folder / "split.json")
    y, x = experiment.pair(evenly(experiment.split.eval, slices))
    clean = squared_error(f, y, x)
    print("\n| η | ‖A r‖/‖y‖ | image domain | Range(A) | measurement domain |\n|---|---|---|---|---|")
    for eta in SIZES[1:4]:
        attack = ProjectedGradientAscent(L2Ball(eta), steps=50, restarts=2)
        through_A = ImageDomain(attack, held="image")(f, y, x)
        same = ProjectedGradientAscent(_Lengths(1.0, lengths=norms(through_A)), steps=50, restarts=2)
        within = ImageDomain(same)(f, y, x, through_A)
        worst = same(f, y, x, within)
        rises = [float((squared_error(f, y + d, x) - clean).mean()) for d in (through_A, within, worst)]
        relative = float((norms(through_A) / norms(y)).mean())
        print(f"| {eta:.1%} | {relative:.2%} | " + " | ".join(f"{rise:.1f}" for rise in rises) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, metavar="PNG")
    parser.add_argument("--run", type=Path, metavar="RUN")
    given = parser.parse_args()
    matplotlib.use("agg")
    found, off = {}, []
    for scene in scenes():
        found[scene.name] = [compare(scene, eta) for eta in SIZES]
        print(f"\n{scene.name}: {scene.A.shape[0]} × {scene.A.shape[1]}, rank {scene.left.shape[1]}")
        print("| η | ‖A r‖/‖y‖ | image domain | Range(A) | measurement domain | ÷ image | outside Range(A) |")
        print("|---|---|---|---|---|---|---|")
        for row in found[scene.name]:
            values = f"{row.image:.4g} | {row.in_range:.4g} | {row.measurement:.4g} | {row.measurement / row.image:.3g}"
            print(f"| {row.eta:.1%} | {row.relative:.3%} | {values} | {row.outside:.1%} |")
        off = off or list(mismatches(scene))
    print("\n| scanner | ‖δ‖/‖y‖ | outside Range(A) | of its error unseen |\n|---|---|---|---|")
    for name, relative, outside, unseen in off:
        print(f"| {name} | {relative:.2%} | {outside:.1%} | {unseen:.1%} |")
    draw(found, off).savefig(given.out, dpi=110)
    if given.run:
        of_a_run(given.run)


if __name__ == "__main__":
    main()

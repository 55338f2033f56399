"""The linear theory, drawn and trained: does a B that is trained by min–max end where the closed form says?

    python docs/results/theory.py --out docs/images

Prints the tables of docs/results/theory.md and draws its four figures, theory-*.png. Four minutes of one core.
"""

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ctrobust.operators.dense import DenseOperator
from ctrobust.operators.sensing import dct_submatrix
from ctrobust.theory import (
    clean_risk,
    gaussian_coefficients,
    minmax_filter,
    per_sample_errors,
    per_sample_filter,
    pseudo_inverse_filter,
    reconstruction_matrix,
    tikhonov_filter,
    trade_off,
    truncated_filter,
    worst_risk,
)
from ctrobust.theory.training import LinearRun, train_per_sample, train_shared

Array = NDArray[np.float64]

WEIGHT, SEEDS = 1.0, (0, 1, 2)
CLASSICS = {
    "pseudo-inverse": pseudo_inverse_filter,
    "truncated SVD": truncated_filter,
    "Tikhonov": tikhonov_filter,
}
COLOURS = {
    "pseudo-inverse": "#999999",
    "truncated SVD": "#cc79a7",
    "Tikhonov": "#0072b2",
    "min–max, one δ for all": "#d55e00",
    "min–max, a δ for every x": "#009e73",
}
SHARED, PER_SAMPLE = list(COLOURS)[3:]


@dataclass(frozen=True)
class Case:
    """An operator, the size of the attack on it, and how long the two trainings take: (steps, batch size)."""

    name: str
    A: DenseOperator
    eps: float
    shared: tuple[int, int]
    per_sample: tuple[int, int]

    @cached_property
    def S(self) -> Array:
        return self.A.singular_values.numpy()

    @cached_property
    def law(self) -> Array:
        """Gaussian x along the right singular vectors, (4096, k)."""
        return gaussian_coefficients(len(self.S), 2**12, seed=0)

    @cached_property
    def filters(self) -> dict[str, Array]:
        """The classics at the best of their family for one δ, and the two optima."""
        classics = {name: design(self.S, self.eps, WEIGHT) for name, design in CLASSICS.items()}
        shared = minmax_filter(self.S, self.eps, WEIGHT)
        return {
            **classics,
            SHARED: shared,
            PER_SAMPLE: per_sample_filter(self.S, self.eps, WEIGHT, self.law).gains,
        }

    @cached_property
    def runs(self) -> dict[str, list[LinearRun]]:
        """Each kind of δ, trained from each seed."""
        kinds = {SHARED: (train_shared, self.shared), PER_SAMPLE: (train_per_sample, self.per_sample)}
        return {
            kind: [
                train(self.A, self.eps, WEIGHT, steps=steps, batch_size=batch, seed=seed) for seed in SEEDS
            ]
            for kind, (train, (steps, batch)) in kinds.items()
        }

    def errors(self, gains: Array) -> tuple[float, float, float]:
        """Clean, under the worst δ for all x, and under the worst δ of every x."""
        attacked = per_sample_errors(self.S, gains, self.eps, self.law).mean()
        return clean_risk(self.S, gains), worst_risk(self.S, gains, self.eps), float(attacked)


def cases() -> tuple[Case, Case]:
    """The one that can be drawn, and the one of the paper's kind."""
    turned = _turn(0.5) @ torch.diag(torch.tensor([1, 0.1], dtype=torch.float64)) @ _turn(-1.1)
    small = DenseOperator(turned, (1, 2))
    waves = dct_submatrix(48, (8, 8), 128, seed=0)
    return (
        Case("2 × 2", small, 0.3, shared=(3000, 32), per_sample=(2000, 256)),
        Case("DCT, 48 × 64", waves, 1.0, shared=(3000, 128), per_sample=(500, 512)),
    )


def _turn(angle: float) -> torch.Tensor:
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, -s], [s, c]], dtype=torch.float64)


def draw_two_by_two(case: Case) -> Figure:
    """The measurement with its ball of δ, where each B takes that ball, and the gains."""
    figure = Figure(figsize=(13, 3.9), layout="constrained")
    measured, image, gains = figure.subplots(1, 3)
    M, U, Vh = case.A.matrix.numpy(), *(case.A.svd[part].numpy() for part in (0, 2))
    angles = np.linspace(0, 2 * np.pi, 400)
    circle = np.stack([np.cos(angles), np.sin(angles)])
    x = 1.2 * np.array([math.cos(0.6), math.sin(0.6)])
    measured.plot(*(M @ circle), color="black", label="A x for all ‖x‖ = 1")
    measured.plot(*(M @ x[:, None] + case.eps * circle), color="#d55e00", label=f"y + δ, ‖δ‖ ≤ {case.eps:g}")
    measured.plot(*(M @ x), "k.", label="y = A x of one x")
    measured.set_title("measurement: A flattens the circle", fontsize=10)
    for name, q in case.filters.items():
        B = reconstruction_matrix(U, q, Vh)
        image.plot(*(B @ (M @ x[:, None] + case.eps * circle)), color=COLOURS[name], label=name)
        image.plot(*(B @ M @ x), ".", color=COLOURS[name])
    image.plot(*x, "k*", markersize=11, label="the true x")
    image.set_title("image: where B(y + δ) may land (dot: δ = 0)", fontsize=10)
    for panel in (measured, image):
        panel.set_aspect("equal")
        panel.grid(alpha=0.3)
        panel.legend(fontsize=7, loc="best")
    _bars(gains, case)
    return figure


def _bars(panel: Axes, case: Case) -> None:
    places, width = np.arange(len(case.S)), 0.16
    for index, (name, q) in enumerate(case.filters.items()):
        bars = panel.bar(places + (index - 2) * width, q, width, color=COLOURS[name], label=name)
        panel.bar_label(bars, fmt="%.2f", fontsize=6)
    panel.set_yscale("symlog", linthresh=1)
    panel.set_ylim(0, 20)
    panel.set_xticks(places, [f"S = {value:g}" for value in case.S.round(12)])
    panel.set_title("gains q", fontsize=10)
    panel.legend(fontsize=7)


def draw_training(both: tuple[Case, Case]) -> Figure:
    """How far B is from the optimum, step by step: a row a case, a column a kind of δ."""
    figure = Figure(figsize=(10, 6.5), layout="constrained")
    for row, case in zip(figure.subplots(2, 2), both, strict=True):
        for panel, (kind, runs) in zip(row, case.runs.items(), strict=True):
            for run, seed in zip(runs, SEEDS, strict=True):
                first = seed == SEEDS[0]
                panel.loglog(run.steps, 100 * run.iterate, color="#bbbbbb", lw=0.6, label="B" * first)
            for run, seed in zip(runs, SEEDS, strict=True):
                label = "B averaged over the steps" * (seed == SEEDS[0])
                panel.loglog(run.steps, 100 * run.distance, color=COLOURS[kind], lw=1.2, label=label)
            panel.axhline(1, color="black", ls=":", lw=1)
            panel.set_title(f"{case.name}: {kind.removeprefix('min–max, ')}", fontsize=10)
            panel.set_xlabel("step")
            panel.grid(alpha=0.3)
            panel.legend(fontsize=8)
        row[0].set_ylabel("‖B − B*‖ / ‖B*‖, %")
    return figure


def draw_filters(both: tuple[Case, Case]) -> Figure:
    """Learned gains over the predicted ones, and the classics: a row a case, a column a kind of δ."""
    figure = Figure(figsize=(12, 8.5), layout="constrained")
    for row, case in zip(figure.subplots(2, 2, sharey="row"), both, strict=True):
        highest = max(q.max() for name, q in case.filters.items() if name != "pseudo-inverse")
        for panel, (kind, runs) in zip(row, case.runs.items(), strict=True):
            for name in CLASSICS:
                panel.plot(case.S, case.filters[name], ".-", color=COLOURS[name], lw=0.8, ms=3, label=name)
            panel.plot(case.S, case.filters[kind], ".-", color=COLOURS[kind], lw=1.5, ms=3, label="predicted")
            panel.plot(case.S, runs[0].learned, "o", mfc="none", color=COLOURS[kind], ms=5, label="learned")
            panel.set_xscale("log")
            panel.set_ylim(0, 1.05 * highest)
            panel.set_title(f"{case.name}: {kind}", fontsize=10)
            panel.set_xlabel("singular value S")
            panel.grid(alpha=0.3)
            panel.legend(fontsize=8)
        row[0].set_ylabel("gain q")
    return figure


def draw_trade_off(case: Case) -> Figure:
    """Left: what a filter made for ε costs at its own ε. Right: all judged at one ε, clean against worst."""
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    own, front = figure.subplots(1, 2)
    sizes = np.geomspace(0.01, 10, 61)
    for name, design in {"pseudo-inverse": pseudo_inverse_filter, SHARED: minmax_filter}.items():
        met = trade_off(case.S, sizes, WEIGHT, design=design)
        own.loglog(sizes, met.worst, color=COLOURS[name], label=f"{name}: worst case")
    own.loglog(sizes, met.clean, "--", color=COLOURS[SHARED], label=f"{SHARED}: clean")
    own.axhline(len(case.S), color="black", lw=0.8, ls=":", label="x̂ = 0")
    own.set_ylim(1e-2, 1e5)
    own.set_title("each filter made for the ε it meets", fontsize=10)
    own.set_xlabel("ε")
    own.set_ylabel("E ‖x̂ − x‖²")
    for name, design in {**CLASSICS, SHARED: minmax_filter}.items():
        met = trade_off(case.S, sizes, WEIGHT, judged=case.eps, design=design)
        # There are as many truncations as singular values, and nothing between two of them.
        style = {"pseudo-inverse": "o", "truncated SVD": "."}.get(name, "-")
        front.plot(met.clean, met.worst, style, color=COLOURS[name], label=name)
    learned = [case.errors(run.learned)[:2] for run in case.runs[SHARED]]
    front.plot(*zip(*learned, strict=True), "k+", ms=10, label=f"learned at ε = {case.eps:g}")
    front.set_yscale("log")
    front.set_xlim(-1, 30)
    front.set_ylim(7, 6000)
    front.set_title(f"all judged at ε = {case.eps:g}, as the ε they were made for grows", fontsize=10)
    front.set_xlabel("E ‖x̂ − x‖², clean")
    front.set_ylabel("E ‖x̂ − x‖² under the worst δ")
    for panel in (own, front):
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    return figure


def tables(case: Case) -> Iterator[str]:
    """Errors of every filter, the learned ones among them; then how near the trainings came."""
    rank, condition = case.A.rank, case.A.condition_number
    yield f"\n{case.name}: rank {rank}, condition {condition:.3g}, ε = {case.eps:g}, λ = {WEIGHT:g}\n"
    yield "| filter | clean | one δ for all | a δ for every x | largest gain |\n|---|---|---|---|---|"
    learned = {
        f"learned: {kind.removeprefix('min–max, ')}": runs[0].learned for kind, runs in case.runs.items()
    }
    for name, q in {**case.filters, **learned}.items():
        yield f"| {name} | {' | '.join(f'{round(error, 9):.4g}' for error in case.errors(q))} | {q.max():.4g} |"
    yield "\n| trained against | steps | ‖B − B*‖/‖B*‖, averaged B | the last B | below 1 % from step |"
    yield "|---|---|---|---|---|"
    for kind, runs in case.runs.items():
        ends = ", ".join(f"{100 * run.distance[-1]:.2g} %" for run in runs)
        last = ", ".join(f"{100 * run.iterate[-1]:.2g} %" for run in runs)
        below = max(int(run.steps[np.flatnonzero(run.distance >= 0.01)[-1] + 1]) for run in runs)
        yield f"| {kind.removeprefix('min–max, ')} | {int(runs[0].steps[-1])} | {ends} | {last} | {below} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    folder = parser.parse_args().out
    matplotlib.use("agg")
    small, waves = cases()
    for case in (small, waves):
        print("\n".join(tables(case)), flush=True)
    for name, figure in {
        "two-by-two": draw_two_by_two(small),
        "training": draw_training((small, waves)),
        "filters": draw_filters((small, waves)),
        "trade-off": draw_trade_off(waves),
    }.items():
        figure.savefig(folder / f"theory-{name}.png", dpi=110)


if __name__ == "__main__":
    main()

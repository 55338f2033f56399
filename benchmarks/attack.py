"""What does an attack cost, and what does attacking in batches save?

    python benchmarks/attack.py [--size 128] [--views 36] [--channels 16] [--batch 8] [--rounds 5]

In turns, on the same slices, network and number of steps, milliseconds a slice and step (the fastest of the rounds):
the batch; its slices one by one; the batch with f in bf16; the slices one by one over ASTRA's own CPU projectors, the
way published attacks on CT work. And what share of the batch's time is spent in f and its gradient.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor

from ctrobust.core.geometry import ParallelBeam
from ctrobust.core.progress import Progress
from ctrobust.evaluate.mixed import MixedAscent
from ctrobust.networks import FBPConvNet
from ctrobust.operators import Projector
from ctrobust.reconstruct import LearnedReconstructor
from ctrobust.threat import L2Ball, ProjectedGradientAscent
from ctrobust.threat.ascent import error_and_gradient


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (
        ("--size", 128),
        ("--views", 36),
        ("--channels", 16),
        ("--batch", 8),
        ("--steps", 20),
    ):
        parser.add_argument(name, type=int, default=value)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    geometry = ParallelBeam(given.size, given.views, pixel_mm=400 / given.size)
    torch.manual_seed(0)
    network = FBPConvNet(given.channels)
    ours, astra = (
        LearnedReconstructor(Projector(geometry, backend), network).eval().requires_grad_(False)
        for backend in ("auto", "astra")
    )
    x = torch.rand(given.batch, 1, given.size, given.size)
    y = ours.projector(x)
    attack = ProjectedGradientAscent(L2Ball(0.02), steps=given.steps, restarts=1, allow_unmatched=True)
    mixed = MixedAscent(L2Ball(0.02), steps=given.steps, restarts=1, allow_unmatched=True)
    ways: dict[str, Callable[[], object]] = {
        "a batch": lambda: attack(ours, y, x),
        "slice by slice": lambda: _one_by_one(attack, ours, y, x),
        "a batch, f in bf16": lambda: mixed(ours, y, x),
        "slice by slice over ASTRA": lambda: _one_by_one(attack, astra, y, x),
        "f and its gradient alone": lambda: _gradients(ours, y, x, given.steps),
    }
    fastest = dict.fromkeys(ways, float("inf"))
    for _ in Progress(range(given.rounds + 1), "rounds", total=given.rounds + 1):
        for name, way in ways.items():
            fastest[name] = min(fastest[name], _seconds(way))
    print(
        f"{given.size}², {given.views} views, {given.channels} channels, batch {given.batch}, {given.steps} steps, "
        f"{given.threads} threads, f's operator {ours.projector.backend}"
    )
    for name, seconds in fastest.items():
        each = 1000 * seconds / given.batch / given.steps
        print(f"{name:28}{each:8.2f} ms a slice and step{seconds / fastest['a batch']:8.2f} × the batch")


def _one_by_one(attack: ProjectedGradientAscent, f: LearnedReconstructor, y: Tensor, x: Tensor) -> None:
    for one in range(len(y)):
        attack(f, y[one : one + 1], x[one : one + 1])


def _gradients(f: LearnedReconstructor, y: Tensor, x: Tensor, steps: int) -> None:
    """As many as the attack takes: one a step, and one where it ends."""
    delta = torch.zeros_like(y)
    for _ in range(steps + 1):
        error_and_gradient(f, y, x, delta)


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()

"""What does a training step cost, by method, and how much of it is physics?

    python benchmarks/training.py [METHOD …] [--size 128] [--views 36] [--channels 16] [--batch 8] [--rounds 5]

Every method takes its steps in turns with the others, on the same batch, network and precision: milliseconds a step
(the fastest of the rounds), the ratio to erm, and the share of the physics: measuring y, A and Aᵀ wherever they
occur, inside backward too, and the filter of FBP. Memory is the process's peak. METHOD may carry keys of `threat`, as
`minmax,sees=gradient,turns=together`, and `train.compile=true`.
"""

import argparse
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from unittest.mock import patch

import torch
from torch import Tensor

from ctrobust import operators
from ctrobust.core.geometry import ParallelBeam
from ctrobust.core.progress import Progress
from ctrobust.networks import FBPConvNet
from ctrobust.operators import Projector
from ctrobust.recipes.loading import load_recipe
from ctrobust.reconstruct import LearnedReconstructor
from ctrobust.train.loop import Training, freeze_batch_norm, take_step
from ctrobust.train.methods import find_method
from ctrobust.train.run import make_optimizer
from ctrobust.train.running import make_fabric, resolve_precision

METHODS = (
    "erm",
    "weight_decay",
    "parseval",
    "jitter",
    "universal",
    "minmax",
    "minmax,turns=together",
    "minmax,sees=gradient",
    "minmax,sees=gradient,turns=together",
    "pgd,ascent_steps=1",
    "pgd,ascent_steps=5",
    "pgd,ascent_steps=10",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("methods", nargs="*", default=METHODS, metavar="METHOD")
    for name, value in (
        ("--size", 128),
        ("--views", 36),
        ("--channels", 16),
        ("--batch", 8),
        ("--rounds", 5),
    ):
        parser.add_argument(name, type=int, default=value)
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "tf32", "bf16"))
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    precision = resolve_precision(given.precision)
    fabric = make_fabric(precision)
    projector = Projector(
        ParallelBeam(given.size, given.views, pixel_mm=400 / given.size), device=fabric.device
    )
    x = torch.rand(given.batch, 1, given.size, given.size, device=fabric.device)
    trainings = {name: _training(name, given, fabric, projector) for name in given.methods}
    fastest: dict[str, tuple[float, float]] = {}
    for _ in Progress(range(given.rounds + 1), "rounds", total=given.rounds + 1):
        for name, training in trainings.items():
            with _counted(projector) as inside:
                seconds = _timed(lambda training=training: _step(training, projector, x))
            fastest[name] = min(fastest.get(name, (float("inf"), 0.0)), (seconds, inside[0]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{given.size}², {given.views} views, {given.channels} channels, batch {given.batch}, {precision} on "
        f"{fabric.device}, {given.threads} threads; all of them together peaked at {peak:.1f} GiB"
    )
    base = fastest.get("erm", next(iter(fastest.values())))[0]
    for name, (seconds, physics) in fastest.items():
        print(f"{name:40}{1000 * seconds:9.0f} ms{seconds / base:8.2f} × erm{physics / seconds:8.0%} physics")


def _training(name: str, given: argparse.Namespace, fabric, projector: Projector) -> Training:
    method, *keys = name.split(",")
    recipe = load_recipe(method, [key if "." in key.partition("=")[0] else f"threat.{key}" for key in keys])
    recipe = replace(recipe, network=replace(recipe.network, base_channels=given.channels))
    torch.manual_seed(0)
    f = LearnedReconstructor(projector, FBPConvNet(given.channels, recipe.network.levels)).to(fabric.device)
    if recipe.train.compile:
        f.network.compile()
    made = find_method(method)(recipe, fabric)
    made.prepare(f)
    training = Training(f.train(), make_optimizer(f, recipe.train), made, fabric, {})
    freeze_batch_norm(training.f)
    return training


def _step(training: Training, projector: Projector, x: Tensor) -> None:
    training.method.begin(training.step, 1000)
    take_step(training, projector(x), x, torch.arange(len(x)))
    training.step += 1


@contextmanager
def _counted(projector: Projector) -> Iterator[list[float]]:
    """Seconds spent in the back-end's products and the filter, whose derivative is itself and costs the same."""
    spent = [0.0]

    def counting(call: Callable[..., Tensor], *, differentiated: bool) -> Callable[..., Tensor]:
        def counted(batch: Tensor, *more: object) -> Tensor:
            result: list[Tensor] = []
            seconds = _timed(lambda: result.append(call(batch, *more)))
            spent[0] += 2 * seconds if differentiated and batch.requires_grad else seconds
            return result[0]

        return counted

    with ExitStack() as patches:
        # Their derivatives are each other, through these same two; the filter's is torch's own FFT.
        for owner, name, differentiated in (
            (projector._backend, "forward", False),
            (projector._backend, "adjoint", False),
            (operators.projector, "filter_sinogram", True),
        ):
            call = counting(getattr(owner, name), differentiated=differentiated)
            patches.enter_context(patch.object(owner, name, call))
        yield spent


def _timed(call: Callable[[], object]) -> float:
    _synchronise()
    began = time.perf_counter()
    call()
    _synchronise()
    return time.perf_counter() - began


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()

"""Which samples at which step, and how fast to learn: both functions of the step alone, so resuming is exact."""

import math
from collections.abc import Iterator
from functools import lru_cache

import torch

from ctrobust.core.seeds import derive_seed
from ctrobust.recipes.schema import TrainRecipe


def learning_rate(settings: TrainRecipe, done: float) -> float:
    """The rate of `settings.schedule` once the share `done` of the steps is behind."""
    if settings.schedule == "cosine":
        return half_cosine(settings.lr, done)
    return log_spaced(settings.lr, settings.lr_end, done / settings.lr_end_at)


def half_cosine(lr: float, done: float) -> float:
    """Half a cosine from `lr` to 0."""
    return lr * (1 + math.cos(math.pi * done)) / 2


def log_spaced(lr: float, end: float, done: float) -> float:
    """Geometrically from `lr` to `end`, and constant after."""
    return float(lr * (end / lr) ** min(done, 1.0))


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr


def batches(
    samples: int, batch_size: int, steps: range, *, seed: int, rank: int = 0, processes: int = 1
) -> Iterator[list[int]]:
    """Positions of this process's samples for each of `steps`: one seeded permutation an epoch, end to end."""
    together = batch_size * processes
    for step in steps:
        first = step * together + rank * batch_size
        yield [_sample(samples, first + offset, seed) for offset in range(batch_size)]


def epoch_of(samples: int, batch_size: int, step: int) -> float:
    """Passes over the training part after `step` steps; batch_size of all processes together."""
    return step * batch_size / samples


def _sample(samples: int, place: int, seed: int) -> int:
    epoch, position = divmod(place, samples)
    return int(_permutation(samples, epoch, seed)[position])


@lru_cache(maxsize=4)
def _permutation(samples: int, epoch: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(derive_seed(seed, "epoch", epoch))
    return torch.randperm(samples, generator=generator)

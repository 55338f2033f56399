"""What an adversary is, and the worst of several."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ctrobust.threat.ascent import Reconstructor, evaluating, exact_arithmetic, squared_error
from ctrobust.threat.budget import per_sample


class Adversary(Protocol):
    """Looks for a δ that makes ‖f(y + δ) − x‖² large, and is held to a budget of its own for every sample."""

    def __call__(self, f: Reconstructor, y: Tensor, x: Tensor, start: Tensor | None = None) -> Tensor:
        """δ of the shape of y, never y + δ; `start`: one to begin from, for those that search."""

    def with_eps(self, eps: float) -> "Adversary":
        """The same with a budget of another size."""


class Found(NamedTuple):
    """delta (B, 1, views, bins); its squared errors (B,); who found it, (B,) indices in the order of the names."""

    delta: Tensor
    errors: Tensor
    winner: Tensor


@dataclass(frozen=True)
class WorstOf:
    """Of what several adversaries find, the worst for each sample; of equals the first.

    In a budget if all of them are in it. Raises ValueError where there are none.
    """

    adversaries: Mapping[str, Adversary]

    def __post_init__(self) -> None:
        if not self.adversaries:
            raise ValueError("adversaries: none; give one at least")

    def __call__(self, f: Reconstructor, y: Tensor, x: Tensor, start: Tensor | None = None) -> Tensor:
        return self.compare(f, y, x, start).delta

    def with_eps(self, eps: float) -> "WorstOf":
        """All of them with budgets of another size."""
        return WorstOf({name: each.with_eps(eps) for name, each in self.adversaries.items()})

    def compare(self, f: Reconstructor, y: Tensor, x: Tensor, start: Tensor | None = None) -> Found:
        """The worst of each sample, and who found it."""
        deltas = [adversary(f, y, x, start) for adversary in self.adversaries.values()]
        return worst_of(deltas, f, y, x)

    def winners(self, found: Found) -> list[str]:
        """Their names, a sample each."""
        names = list(self.adversaries)
        return [names[index] for index in found.winner.tolist()]


def worst_of(deltas: list[Tensor], f: Reconstructor, y: Tensor, x: Tensor) -> Found:
    """Of several δ for each sample the one of the largest error; of equals the first."""
    with evaluating(f), exact_arithmetic():
        errors = torch.stack([squared_error(f, y + delta, x) for delta in deltas])
    worst, winner = errors.max(0)
    delta = deltas[0]
    for index, other in enumerate(deltas):
        delta = torch.where(per_sample(winner == index), other, delta)
    return Found(delta, worst, winner)

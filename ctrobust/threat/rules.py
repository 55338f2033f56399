"""The rules of ascent: what a step makes of the gradients it has seen. One file, since each is a few lines.

A rule is made anew for every start, and treats every sample by itself. All of their steps are directions: of what a
rule climbs, the length does not matter.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ctrobust.threat.budget import per_sample


class Move(NamedTuple):
    """climb: like a gradient; share: of the longest step; momentum: of the step before, to look ahead by."""

    climb: Tensor
    share: Tensor | float = 1.0
    momentum: Tensor | float = 0.0


Rule = Callable[[Tensor, Tensor, Tensor], Move]
"""(B,) errors, gradients and the point reached ↦ the next move."""

Reach = Callable[[Tensor, Tensor], Tensor]
"""Point v and gradient ↦ Π(v + ρu) − v: as far as a step of the gradient's leads within the budget; 0 at an optimum."""


class Plain:
    """Normalised gradient ascent, h = g, with steps that fall to a hundredth along half a cosine."""

    def __init__(self, steps: int, reach: Reach) -> None:
        self._k, self._steps, self._reach = -1, steps, reach

    def __call__(self, error: Tensor, gradient: Tensor, point: Tensor) -> Move:
        self._k += 1
        return Move(gradient, 0.01 + 0.99 * (1 + math.cos(math.pi * self._k / self._steps)) / 2)


class Momentum(Plain):
    """Nesterov's momentum with adaptive restart (O'Donoghue and Candès 2015), steps as above.

    m = t/(t + 3), t: steps since the error of that sample last fell.
    """

    def __call__(self, error: Tensor, gradient: Tensor, point: Tensor) -> Move:
        if self._k < 0:
            self._before, self._rising = (torch.zeros(len(error), device=error.device) for _ in range(2))
        self._rising = torch.where(error < self._before, 0, self._rising + 1)
        self._before = error
        momentum = per_sample(self._rising / (self._rising + 3)).to(gradient)
        return super().__call__(error, gradient, point)._replace(momentum=momentum)


class Halving:
    """Normalised gradient ascent whose step is halved, for a sample, whenever its error has fallen."""

    def __init__(self, steps: int, reach: Reach) -> None:
        self._before: Tensor | None = None

    def __call__(self, error: Tensor, gradient: Tensor, point: Tensor) -> Move:
        if self._before is None:
            self._before, self._share = error, torch.ones_like(error)
        self._share = torch.where(error < self._before, self._share / 2, self._share)
        self._before = error
        return Move(gradient, per_sample(self._share).to(gradient))


class Adam(Plain):
    """h = m̂/√v̂ (Kingma and Ba 2015; β = .9, .999) of d = Π(v + ρu) − v, not of g itself; steps as above.

    m, v: running means of d and of d², per reading. At the worst δ of a ball g points outwards, along δ; g/√v̂ does
    not, so that Adam on g, as robust-nets climbs (Genzel, Macdonald, März 2022), moves away from there: it ends at 59 %
    of momentum's increase for an FBP of 16² from 6 views, however long it climbs. d vanishes there; nothing is lost.
    """

    def __call__(self, error: Tensor, gradient: Tensor, point: Tensor) -> Move:
        way = self._reach(point, gradient)
        if self._k < 0:
            self._mean, self._square = torch.zeros_like(way), torch.zeros_like(way)
        self._mean = torch.lerp(way, self._mean, 0.9)
        self._square = torch.lerp(way.square(), self._square, 0.999)
        move, seen = super().__call__(error, gradient, point), self._k + 1
        mean, square = self._mean / (1 - 0.9**seen), self._square / (1 - 0.999**seen)
        return move._replace(climb=mean / (square.sqrt() + 1e-12))


RULES: dict[str, Callable[[int, Reach], Rule]] = {
    "plain": Plain,
    "momentum": Momentum,
    "halving": Halving,
    "adam": Adam,
}

"""Search among what a scanner with a fault can give: conditional gradients (Frank and Wolfe 1956)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ctrobust.core.seeds import derive_seed
from ctrobust.threat.ascent import (
    Reconstructor,
    error_and_gradient,
    evaluating,
    exact_arithmetic,
    require_exact_gradient,
    squared_error,
)
from ctrobust.threat.budget import drawn


class Faulty(NamedTuple):
    """delta = y′ − y, (B, 1, views, bins); settings: what of the scanner is off, (B, …), in the fault's unit."""

    delta: Tensor
    settings: Tensor


Response = Callable[[Tensor], Faulty]
"""Gradients ↦ of all that the faulty scanner can give, what gains most to first order: argmax ⟨g, δ⟩."""


@dataclass(frozen=True)
class Search:
    """δ ← argmax ⟨∇‖f(y + δ) − x‖², δ′⟩ over the set, again and again; of all met the worst is kept, per sample.

    Each is a setting that the scanner can have, none is in between. For a linear f the error never falls: it is convex,
    ‖e(δ′)‖² ≥ ‖e(δ)‖² + ⟨g, δ′ − δ⟩. The first start is the gradient without a fault, the others are random.
    """

    steps: int = 10
    restarts: int = 3
    seed: int = 0
    allow_unmatched: bool = False

    def __call__(self, respond: Response, f: Reconstructor, y: Tensor, x: Tensor) -> Faulty:
        with evaluating(f), exact_arithmetic():
            if not self.allow_unmatched:
                require_exact_gradient(f, y, x)
            kept, errors = respond(torch.zeros_like(y)), squared_error(f, y, x)
            kept = Faulty(*map(torch.zeros_like, kept))
            for restart in range(self.restarts):
                gradient = (
                    error_and_gradient(f, y, x, kept.delta)[1] if restart == 0 else self._drawn(y, restart)
                )
                for _ in range(self.steps):
                    answer = respond(gradient)
                    error, gradient = error_and_gradient(f, y, x, answer.delta)
                    kept = choose(error > errors, answer, kept)
                    errors = torch.maximum(error, errors)
        return kept

    def _drawn(self, y: Tensor, restart: int) -> Tensor:
        return drawn(y, derive_seed(self.seed, "response", restart), torch.randn).to(y)


def choose(first: Tensor, one: Faulty, other: Faulty) -> Faulty:
    """Of each sample one where `first`, (B,), and the other elsewhere."""
    rows = first.nonzero().squeeze(1)
    return Faulty(*(b.index_copy(0, rows, a[rows]) for a, b in zip(one, other, strict=True)))

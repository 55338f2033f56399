"""What a training method adds to the loop: the perturbation f meets at each step, or none."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from torch import Tensor, nn

from ctrobust.threat.ascent import evaluating

Figures = dict[str, float]


class Adversary(Protocol):
    """One training method. Called once a step, before f's own update, with f in train mode."""

    def __call__(self, f: nn.Module, y: Tensor, x: Tensor) -> tuple[Tensor | None, Figures]:
        """The perturbations (B, 1, views, bins) for this batch, or None; and figures for the history."""

    def begin(self, step: int, steps: int) -> None:
        """Called before step `step` of `steps`, counted from 0: for schedules and seeds."""

    def state_dict(self) -> dict[str, Any]:
        """What resuming needs: tensors and plain values."""

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class NoAdversary:
    """`erm`: f meets clean samples only."""

    def __call__(self, f: nn.Module, y: Tensor, x: Tensor) -> tuple[None, Figures]:
        return None, {}

    def begin(self, step: int, steps: int) -> None:
        """Nothing here follows a schedule."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to restore."""


@contextmanager
def held(f: nn.Module) -> Iterator[None]:
    """f in eval mode with its weights held: neither its statistics nor its gradients move meanwhile."""
    f.requires_grad_(False)
    try:
        with evaluating(f):
            yield
    finally:
        f.requires_grad_(True)

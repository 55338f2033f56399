"""Scanner faults as adversaries: the worst that a scanner can do within its tolerances, in physical units.

Their budget is the box of their settings; how large the δ = y′ − y comes out is measured afterwards (`L2Ball.size`).
With noise in y, the same noise stays in y′. The default boxes are ours, of the order of a scanner in need of service.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from ctrobust.operators import Projector, mismatch
from ctrobust.operators.faults import dead_channels as bridged
from ctrobust.operators.faults import gain_drift as gained
from ctrobust.threat.adversary import worst_of
from ctrobust.threat.ascent import Reconstructor
from ctrobust.threat.image_domain import operator_of
from ctrobust.threat.response import Faulty, Search

Change = Callable[[Any, Tensor, Tensor, float], Tensor]
"""A, y, x, a setting ↦ δ of the whole scan with that setting."""


@dataclass(frozen=True)
class ScannerFault:
    """A setting s that is off by up to `most`, in `unit`, either way: |s| ≤ most, 0 where the scanner is right.

    per     scan: one s for all; each of the `grid` settings is tried.
            view, bin: an s for each of them, of the same grid, by `search`. δ in a view (bin) must depend on its own s.
    A       the scanner as it is believed to be; f.projector where it is not given. Gains need none.
    Raises ValueError on a box that cannot be, and where there is no A.
    """

    change: Change
    most: float
    unit: str
    per: Literal["scan", "view", "bin"]
    grid: int = 9
    A: Projector | None = None
    search: Search = field(default_factory=Search)

    def __post_init__(self) -> None:
        if not 0 <= self.most < math.inf or self.grid < 2:
            raise ValueError(
                f"most {self.most!r} {self.unit} on a grid of {self.grid}: give 0 or more, and 2 or more"
            )

    def __call__(self, f: Reconstructor, y: Tensor, x: Tensor, start: Tensor | None = None) -> Tensor:
        return self.find(f, y, x).delta

    def with_eps(self, eps: float) -> "ScannerFault":
        """Itself: what holds it is its box, whatever eps."""
        return self

    def find(self, f: Reconstructor, y: Tensor, x: Tensor) -> Faulty:
        """The worst δ, and its settings: (B, 1), (B, views) or (B, bins)."""
        A = getattr(f, "projector", None) if self.A is None else self.A
        settings = torch.linspace(-self.most, self.most, self.grid, dtype=torch.float64)
        with torch.no_grad():
            deltas = [self.change(A, y, x, setting) for setting in settings.tolist()]
        if self.per == "scan":
            # A scanner that is right is among them: no fault is worse than none.
            found = worst_of([torch.zeros_like(y), *deltas], f, y, x)
            return Faulty(
                found.delta, torch.cat([torch.zeros(1), settings])[found.winner.cpu()][:, None].to(y)
            )
        table, along = torch.stack(deltas), -1 if self.per == "view" else -2

        def respond(gradient: Tensor) -> Faulty:
            index = (table * gradient).sum(along, keepdim=True).argmax(0)
            chosen = table.gather(0, index.expand_as(y)[None])[0]
            return Faulty(chosen, settings[index.flatten(1).cpu()].to(y))

        return self.search(respond, f, y, x)


def angle_jitter(most_rad: float = 0.002, **options: Any) -> ScannerFault:
    """Every view off by an angle of its own."""
    return ScannerFault(_moved(mismatch.angle_offset), most_rad, "rad", "view", **options)


def centre_shift(most_mm: float = 0.5, **options: Any) -> ScannerFault:
    """The detector off along itself, measured at the centre of rotation."""
    return ScannerFault(_moved(mismatch.centre_shift), most_mm, "mm", "scan", **options)


def pixel_size(most_share: float = 0.01, **options: Any) -> ScannerFault:
    """The object larger or smaller than believed, by a share."""
    enlarge = _moved(lambda geometry, share: mismatch.wrong_pixel_size(geometry, 1 + share))
    return ScannerFault(enlarge, most_share, "of the size", "scan", **options)


def gain_drift(most_share: float = 0.02, **options: Any) -> ScannerFault:
    """The whole scan's counts off by a share: tube or calibration."""
    return ScannerFault(_gained, most_share, "of the counts", "scan", **options)


def intensity_drift(most_share: float = 0.02, **options: Any) -> ScannerFault:
    """Each view's counts off by a share of its own: the tube wanders."""
    return ScannerFault(_gained, most_share, "of the counts", "view", **options)


def ring(most_share: float = 0.01, **options: Any) -> ScannerFault:
    """Each bin's counts off by a share of its own, the same in all views."""
    return ScannerFault(_gained, most_share, "of the counts", "bin", **options)


@dataclass(frozen=True)
class DeadChannels:
    """`count` bins dead and bridged from their neighbours, the worst ones of each sample.

    Which, is chosen by what each would do alone; δ is what they do together. Raises ValueError on a negative count.
    """

    count: int = 2
    search: Search = field(default_factory=Search)

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError(f"count {self.count}: give 0 or more bins")

    def __call__(self, f: Reconstructor, y: Tensor, x: Tensor, start: Tensor | None = None) -> Tensor:
        return self.find(f, y, x).delta

    def with_eps(self, eps: float) -> "DeadChannels":
        """Itself: what holds it is its count, whatever eps."""
        return self

    def find(self, f: Reconstructor, y: Tensor, x: Tensor) -> Faulty:
        """The worst δ, and (B, bins): 1 where a bin is dead."""
        even = torch.arange(y.shape[-1], device=y.device) % 2 == 0
        # Neighbours of even bins are odd: all of one kind are bridged as each would be alone.
        alone = torch.where(even, bridged(y, even), bridged(y, ~even)) - y

        def respond(gradient: Tensor) -> Faulty:
            bins = (alone * gradient).sum((1, 2)).topk(min(self.count, len(even) - 1))[1]
            dead = torch.zeros_like(y[:, 0, 0]).scatter(1, bins, 1.0)
            together = [bridged(one[None], which > 0)[0] for one, which in zip(y, dead, strict=True)]
            return Faulty(torch.stack(together) - y, dead)

        return self.search(respond, f, y, x)


def _moved(error: Callable[[Any, float], Any]) -> Change:
    def change(A: Any, y: Tensor, x: Tensor, setting: float) -> Tensor:
        believed: Projector = operator_of(None, A)
        real = Projector(error(believed.geometry, setting), believed.backend, believed.device)
        return real(x) - believed(x)

    return change


def _gained(A: Any, y: Tensor, x: Tensor, setting: float) -> Tensor:
    return gained(y, 1 + setting) - y

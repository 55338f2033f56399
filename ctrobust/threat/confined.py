"""Budgets narrowed to a subspace: perturbations of low frequency, or of some readings alone."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dct
from torch import Tensor

from ctrobust.core.geometry import Geometry
from ctrobust.operators.rays import shadows
from ctrobust.threat.budget import Budget, per_sample


class Subspace(Protocol):
    """The orthogonal projection onto a linear space V of sinograms, each (views, bins) by itself."""

    def __call__(self, delta: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Confined:
    """What `budget` allows and lies in V: an adversary with less to say, held to both exactly.

    The projection is the nearest point, and `steepest` the steepest direction, where V and the budget's geometry have
    axes in common: any V for `L2Ball`, readings for all. Elsewhere both are only allowed, and a direction of ascent.
    Raises ValueError on a budget that is confined already: one projection would undo the other.
    """

    budget: Budget
    onto: Subspace

    def __post_init__(self) -> None:
        require_unconfined(self.budget)

    @property
    def eps(self) -> float:
        return self.budget.eps

    def with_eps(self, eps: float) -> "Confined":
        """The same space in a budget of another size."""
        return replace(self, budget=self.budget.with_eps(eps))

    def radius(self, y: Tensor) -> Tensor:
        """(B,) float64: the budget's."""
        return self.budget.radius(y)

    def size(self, delta: Tensor, y: Tensor) -> Tensor:
        """(B,) float64: the budget's."""
        return self.budget.size(delta, y)

    def project(self, delta: Tensor, y: Tensor) -> Tensor:
        """Π_V Π Π_V δ, and shortened where even that is too long."""
        inside = self.onto(self.budget.project(self.onto(delta), y))
        fits = self.budget.size(inside, y) <= self.eps
        return torch.where(per_sample(fits), inside, self.budget.rescale(inside, y))

    def rescale(self, delta: Tensor, y: Tensor) -> Tensor:
        """The perturbation of full length in the direction of Π_V δ."""
        return self.budget.rescale(self.onto(delta), y)

    def random(self, y: Tensor, seed: int) -> Tensor:
        """A draw of the budget's, projected onto V and carried to full length."""
        return self.rescale(self.budget.random(y, seed), y)

    def steepest(self, gradient: Tensor, y: Tensor) -> Tensor:
        """Π_V u with u the budget's own direction for Π_V g, at length 1."""
        return unit(self.budget, self.onto(self.budget.steepest(self.onto(gradient), y)), y)


def require_unconfined(budget: Budget) -> None:
    """Raise ValueError on a budget that holds δ to a subspace, where there is to be another."""
    if isinstance(budget, Confined):
        raise ValueError(f"budget: confined to a subspace already; give the whole one, {budget.budget}")


def unit(budget: Budget, direction: Tensor, y: Tensor) -> Tensor:
    """The direction at length 1, as the budget measures it; zero where nothing is allowed."""
    return (budget.rescale(direction, y) / per_sample(budget.radius(y)).to(y)).nan_to_num(0, 0, 0)


@dataclass(frozen=True)
class LowPass:
    """Sinograms whose views hold no frequency above `cutoff` of the detector's Nyquist frequency: K of `bins` cosines.

        V = span{cos(π k (b + ½)/bins) : k ≤ cutoff·bins},    Π_V = CᵀC with C the first rows of the DCT-II

    Of cosines, since a detector does not wrap around. Raises ValueError on a cutoff outside 0 … 1.
    """

    cutoff: float

    def __post_init__(self) -> None:
        if not 0 <= self.cutoff <= 1:
            raise ValueError(f"cutoff {self.cutoff!r}: give a share of the Nyquist frequency, 0 … 1")

    def __call__(self, delta: Tensor) -> Tensor:
        C = torch.as_tensor(_cosines(delta.shape[-1], self.cutoff), dtype=delta.dtype, device=delta.device)
        return delta @ C.T @ C


@cache
def _cosines(bins: int, cutoff: float) -> NDArray[np.float64]:
    """(K, bins), orthonormal rows."""
    rows: NDArray[np.float64] = dct(np.eye(bins), norm="ortho", axis=0)
    return rows[: int(cutoff * bins) + 1]


class Readings:
    """Sinograms that are zero but at some readings. mask: (views, bins) bool, or (bins,) for all views the same.

    Raises ValueError on a mask that is not bool, or allows no reading.
    """

    def __init__(self, mask: Tensor) -> None:
        if mask.dtype != torch.bool or not mask.any():
            raise ValueError(
                f"mask of {mask.dtype}, {int(mask.sum())} readings: give bool, and one reading at least"
            )
        self.mask = mask

    def __call__(self, delta: Tensor) -> Tensor:
        return torch.where(self.mask.to(delta.device), delta, 0)


def detector_range(bins: int, first: float = 0.375, last: float = 0.625) -> Readings:
    """The bins from a share of the detector to another; by default its middle quarter."""
    places = (torch.arange(bins) + 0.5) / bins
    if not 0 <= first < last <= 1:
        raise ValueError(f"detector from {first!r} to {last!r}: give shares of it, 0 ≤ first < last ≤ 1")
    return Readings((places >= first) & (places <= last))


def middle(length: int) -> slice:
    """The middle quarter of an image's rows or columns."""
    first = 3 * length // 8
    return slice(first, length - first)


def shadow(geometry: Geometry, rows: slice, columns: slice) -> Readings:
    """The readings that a rectangle of the image takes part in: in every view an interval of bins.

    rows, columns: slices with start and stop. A pixel is met by rays up to one pixel from its centre.
    Raises ValueError where no ray meets it.
    """
    column, row = np.array(
        [(c, r) for c in (columns.start - 1, columns.stop) for r in (rows.start - 1, rows.stop)], dtype=float
    ).T
    a, b, c, d, e, f = shadows(geometry).T[..., None]
    corners = (a + b * column + c * row) / (d + e * column + f * row)
    bins = np.arange(geometry.sinogram_shape[1])
    inside = (bins >= corners.min(1, keepdims=True)) & (bins <= corners.max(1, keepdims=True))
    return Readings(torch.from_numpy(inside))

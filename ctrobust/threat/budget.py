"""What an adversary may do: the set of perturbations it is held to, per sample."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor

from ctrobust.core.seeds import derive_seed


class Budget(Protocol):
    """A set of perturbations, star-shaped about 0, of a size `eps`; δ, g and y are (B, 1, views, bins).

    A budget measures a length of its own, which what it allows does not exceed. What an adversary needs to know of
    that geometry is here, so that one ascent serves them all. Each sample is treated by itself.
    """

    @property
    def eps(self) -> float:
        """How much is allowed, in the budget's own unit; 0: nothing."""

    def with_eps(self, eps: float) -> "Budget":
        """The same kind of budget of another size."""

    def radius(self, y: Tensor) -> Tensor:
        """(B,) float64: the largest length allowed."""

    def size(self, delta: Tensor, y: Tensor) -> Tensor:
        """(B,) float64: the length of δᵢ in the unit of eps, at most eps where it is allowed."""

    def project(self, delta: Tensor, y: Tensor) -> Tensor:
        """A perturbation that is allowed, δ itself where it is; the nearest, in the budget's own length."""

    def rescale(self, delta: Tensor, y: Tensor) -> Tensor:
        """The perturbation of full length in the direction of δ (zero stays zero)."""

    def random(self, y: Tensor, seed: int) -> Tensor:
        """One of full length, drawn; it depends on the seed and on a sample's own y, not on its batch."""

    def steepest(self, gradient: Tensor, y: Tensor) -> Tensor:
        """argmax ⟨g, u⟩ over directions u of length 1; zero where g is."""


@dataclass(frozen=True)
class L2Ball:
    """‖δᵢ‖₂ ≤ eps·‖yᵢ‖₂ for every sample i (`relative`), or ‖δᵢ‖₂ ≤ eps in mm of water.

    δ and y: (B, 1, views, bins). Raises ValueError where eps is negative or not finite.
    """

    eps: float
    relative: bool = True

    def __post_init__(self) -> None:
        require_size(self.eps)

    def with_eps(self, eps: float) -> "L2Ball":
        """The ball of another radius."""
        return replace(self, eps=eps)

    def radius(self, y: Tensor) -> Tensor:
        """(B,) float64: the largest ‖δᵢ‖₂ allowed."""
        return self.eps * (norms(y) if self.relative else torch.ones_like(norms(y)))

    def size(self, delta: Tensor, y: Tensor) -> Tensor:
        """(B,) float64: ‖δᵢ‖₂ in the unit of eps."""
        return relative_norms(delta, y) if self.relative else norms(delta)

    def project(self, delta: Tensor, y: Tensor) -> Tensor:
        """The nearest perturbation in the ball; what lies inside is returned as it is."""
        return delta * per_sample(self._stretch(delta, y).clamp(max=1)).to(y)

    def rescale(self, delta: Tensor, y: Tensor) -> Tensor:
        """The perturbation on the sphere in the direction of δ (zero stays zero)."""
        return delta * per_sample(self._stretch(delta, y)).to(y)

    def random(self, y: Tensor, seed: int) -> Tensor:
        """Uniform on the sphere. What a sample draws depends on the seed and on its own y, not on its batch."""
        return self.rescale(drawn(y, seed, torch.randn).to(y), y)

    def steepest(self, gradient: Tensor, y: Tensor) -> Tensor:
        """g/‖g‖₂"""
        return gradient / per_sample(norms(gradient).clamp_min(1e-30)).to(y)

    def _stretch(self, delta: Tensor, y: Tensor) -> Tensor:
        """(B,) factors that carry each δ onto the sphere, or just inside: rounding must not carry it over."""
        radius, length = self.radius(y) * (1 - 4 * torch.finfo(y.dtype).eps), norms(delta)
        return torch.where(length > 0, radius / length, 0)


@dataclass(frozen=True)
class Lengths(L2Ball):
    """‖δᵢ‖₂ ≤ eps·lengths[i]: a radius of its own for every sample of one batch; lengths: (B,) float64."""

    lengths: Tensor = field(kw_only=True)

    def radius(self, y: Tensor) -> Tensor:
        """(B,) float64: the largest ‖δᵢ‖₂ allowed."""
        return self.eps * self.lengths

    def size(self, delta: Tensor, y: Tensor) -> Tensor:
        """(B,) float64: ‖δᵢ‖₂ as a share of its sample's own length."""
        length = norms(delta)
        return torch.where(length > 0, length / self.lengths, 0)


def require_size(eps: float) -> None:
    """Raise ValueError where eps is negative or not finite."""
    if not 0 <= eps < float("inf"):
        raise ValueError(f"eps {eps!r}: give a finite number, 0 or more")


def drawn(y: Tensor, seed: int, draw: Callable[..., Tensor]) -> Tensor:
    """`draw` (torch.randn, torch.rand) in the shape of y, float64 on the CPU, a stream for every sample.

    A sample's stream is that of the seed and its own y, so that it does not depend on its batch.
    """
    draws = []
    for sample in y.detach().cpu():
        digest = hashlib.sha256(sample.contiguous().numpy().tobytes()).hexdigest()
        generator = torch.Generator().manual_seed(derive_seed(seed, digest))
        draws.append(draw(sample.shape, generator=generator, dtype=torch.float64))
    return torch.stack(draws)


def norms(batch: Tensor) -> Tensor:
    """(B,) Euclidean norms, accumulated in float64."""
    values: Tensor = torch.linalg.vector_norm(batch.flatten(1), dim=1, dtype=torch.float64)
    return values


def per_sample(values: Tensor) -> Tensor:
    """(B,) → (B, 1, 1, 1), to multiply a batch of images or sinograms."""
    return values[:, None, None, None]


def relative_norms(delta: Tensor, y: Tensor) -> Tensor:
    """(B,) ‖δᵢ‖/‖yᵢ‖; 0 where δᵢ is empty, also for a slice of nothing but air."""
    length = norms(delta)
    return torch.where(length > 0, length / norms(y), 0)

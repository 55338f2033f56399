"""The largest reading off: no ray errs by more than a share of the brightest, or by more than some mm of water."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ctrobust.threat.budget import drawn, per_sample, require_size


@dataclass(frozen=True)
class Linf:
    """maxₖ |δᵢₖ| ≤ eps·maxₖ |yᵢₖ| for every sample i (`relative`), or maxₖ |δᵢₖ| ≤ eps in mm of water.

    δ and y: (B, 1, views, bins). Relative to the sample's largest reading, not to the ray's own: air reads 0, and a
    detector errs there too. Raises ValueError where eps is negative or not finite.
    """

    eps: float
    relative: bool = True

    def __post_init__(self) -> None:
        require_size(self.eps)

    def with_eps(self, eps: float) -> "Linf":
        """The box of another size."""
        return replace(self, eps=eps)

    def radius(self, y: Tensor) -> Tensor:
        """(B,) float64: the largest |δᵢₖ| allowed."""
        return self.eps * self._unit(y)

    def size(self, delta: Tensor, y: Tensor) -> Tensor:
        """(B,) float64: maxₖ |δᵢₖ| in the unit of eps."""
        length = _largest(delta)
        return torch.where(length > 0, length / self._unit(y), 0)

    def project(self, delta: Tensor, y: Tensor) -> Tensor:
        """The nearest perturbation in the box: every reading clipped by itself."""
        radius = self._bound(y).to(y)
        return delta.clamp(-radius, radius)

    def rescale(self, delta: Tensor, y: Tensor) -> Tensor:
        """The perturbation on the box's surface in the direction of δ (zero stays zero)."""
        length = per_sample(_largest(delta))
        # In float64 up to the last rounding: δ may be of any scale.
        return torch.where(length > 0, delta.double() / length * self._bound(y), 0).to(y)

    def random(self, y: Tensor, seed: int) -> Tensor:
        """Uniform on the box's surface."""
        return self.rescale((2 * drawn(y, seed, torch.rand) - 1).to(y), y)

    def steepest(self, gradient: Tensor, y: Tensor) -> Tensor:
        """sign g"""
        return gradient.sign()

    def _unit(self, y: Tensor) -> Tensor:
        return _largest(y) if self.relative else torch.ones_like(_largest(y))

    def _bound(self, y: Tensor) -> Tensor:
        """The radius, or just inside: rounding must not carry δ out."""
        return per_sample(self.radius(y) * (1 - 4 * torch.finfo(y.dtype).eps))


def _largest(batch: Tensor) -> Tensor:
    return batch.flatten(1).abs().amax(1).double()

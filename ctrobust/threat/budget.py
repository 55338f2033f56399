"""What an adversary may do: the set of perturbations it is held to, per sample."""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from ctrobust.core.seeds import derive_seed


@dataclass(frozen=True)
class L2Ball:
    """‖δᵢ‖₂ ≤ eps·‖yᵢ‖₂ for every sample i (`relative`), or ‖δᵢ‖₂ ≤ eps in mm of water.

    δ and y: (B, 1, views, bins). Raises ValueError where eps is negative or not finite.
    """

    eps: float
    relative: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.eps < float("inf"):
            raise ValueError(f"eps {self.eps!r}: give a finite number, 0 or more")

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
        directions = []
        for sample in y.detach().cpu():
            digest = hashlib.sha256(sample.contiguous().numpy().tobytes()).hexdigest()
            generator = torch.Generator().manual_seed(derive_seed(seed, digest))
            directions.append(torch.randn(sample.shape, generator=generator, dtype=torch.float64))
        return self.rescale(torch.stack(directions).to(y), y)

    def _stretch(self, delta: Tensor, y: Tensor) -> Tensor:
        """(B,) factors that carry each δ onto the sphere, or just inside: rounding must not carry it over."""
        radius, length = self.radius(y) * (1 - 4 * torch.finfo(y.dtype).eps), norms(delta)
        return torch.where(length > 0, radius / length, 0)


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

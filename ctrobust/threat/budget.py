"""What an adversary may do: the set of perturbations it is held to, per sample."""

from dataclasses import dataclass

import torch
from torch import Tensor


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
        return self.eps * (
            norms(y) if self.relative else torch.ones(len(y), dtype=torch.float64).to(y.device)
        )

    def size(self, delta: Tensor, y: Tensor) -> Tensor:
        """(B,) float64: ‖δᵢ‖₂ in the unit of eps."""
        return norms(delta) / norms(y) if self.relative else norms(delta)

    def project(self, delta: Tensor, y: Tensor) -> Tensor:
        """The nearest perturbation in the ball; what lies inside is returned as it is."""
        return delta * per_sample(_shrunk(self.radius(y), y) / norms(delta).clamp_min(1e-300)).clamp(
            max=1
        ).to(y)

    def rescale(self, delta: Tensor, y: Tensor) -> Tensor:
        """The perturbation on the sphere in the direction of δ (zero stays zero)."""
        return delta * per_sample(_shrunk(self.radius(y), y) / norms(delta).clamp_min(1e-30)).to(y)

    def random(self, y: Tensor, generator: torch.Generator) -> Tensor:
        """A direction drawn uniformly on the sphere; drawn on the CPU, the same for every device."""
        noise = torch.randn(y.shape, generator=generator, dtype=torch.float64)
        return self.rescale(noise.to(y), y)


def norms(batch: Tensor) -> Tensor:
    """(B,) Euclidean norms, accumulated in float64."""
    values: Tensor = torch.linalg.vector_norm(batch.flatten(1), dim=1, dtype=torch.float64)
    return values


def per_sample(values: Tensor) -> Tensor:
    """(B,) → (B, 1, 1, 1), to multiply a batch of images or sinograms."""
    return values[:, None, None, None]


def _shrunk(radius: Tensor, y: Tensor) -> Tensor:
    # Rounding δ to its own precision must not carry it over the edge.
    return radius * (1 - 4 * torch.finfo(y.dtype).eps)

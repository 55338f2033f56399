"""What photon noise would hide: the length of δ in standard deviations of the measurement's own noise."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ctrobust.operators.noise import noise_variance
from ctrobust.threat.budget import drawn, norms, per_sample, require_size


@dataclass(frozen=True)
class Whitened:
    """‖Σᵢ^(−½) δᵢ‖₂ ≤ eps = k for every sample i, Σᵢ the diagonal covariance of the noise of yᵢ at this dose.

        Σ = diag(var ỹ),    var ỹ ≈ (1/N̄ + σₑ²/N̄²)/μ²,    N̄ = N₀ e^(−μ y)

    k is d′ of the ideal observer who knows δ and tells y + δ from y in Gaussian noise of this covariance (Barrett and
    Myers, Foundations of Image Science, 2004, ch. 13): at k = 1 he is right in 76 % of pairs shown, Φ(k/√2). A draw of
    the noise itself has a length near √n, n the number of readings; `noise_share` tells k/√n.
    Distances are those of z = Σ^(−½) δ, in which this is a ball. δ and y: (B, 1, views, bins); of a noisy y the
    variance is an estimate. photons, electronic_counts: as in `ctrobust.operators.noise`.
    Raises ValueError where eps is negative or not finite, and on a dose that cannot be.
    """

    eps: float
    photons: float
    electronic_counts: float = 0.0

    def __post_init__(self) -> None:
        require_size(self.eps)
        noise_variance(torch.zeros(()), self.photons, self.electronic_counts)

    def with_eps(self, eps: float) -> "Whitened":
        """The ellipsoid of another size."""
        return replace(self, eps=eps)

    def noise_share(self, y: Tensor) -> float:
        """k/√n: the length allowed against that of a draw of the noise."""
        return self.eps / math.sqrt(y[0].numel())

    def radius(self, y: Tensor) -> Tensor:
        """(B,) float64: k, for every sample."""
        return torch.full((len(y),), self.eps, dtype=torch.float64, device=y.device)

    def size(self, delta: Tensor, y: Tensor) -> Tensor:
        """(B,) float64: ‖Σ^(−½) δᵢ‖₂"""
        return norms(delta / self.sigma(y))

    def project(self, delta: Tensor, y: Tensor) -> Tensor:
        """The nearest perturbation allowed, as z is measured; what is allowed is returned as it is."""
        return torch.where(per_sample(self.size(delta, y) <= self.eps), delta, self.rescale(delta, y))

    def rescale(self, delta: Tensor, y: Tensor) -> Tensor:
        """The perturbation of length k in the direction of δ (zero stays zero)."""
        length = self.size(delta, y)
        bound = self.radius(y) * (1 - 4 * torch.finfo(y.dtype).eps)  # rounding must not carry it over
        return delta * per_sample(torch.where(length > 0, bound / length, 0)).to(y)

    def random(self, y: Tensor, seed: int) -> Tensor:
        """A draw of the noise, carried to length k: uniform over the directions of z."""
        return self.rescale((drawn(y, seed, torch.randn).to(y.device) * self.sigma(y)).to(y), y)

    def steepest(self, gradient: Tensor, y: Tensor) -> Tensor:
        """Σ g/‖Σ^½ g‖₂"""
        sigma = self.sigma(y)
        z = gradient * sigma
        return (z * sigma / per_sample(norms(z).clamp_min(1e-30))).to(y)

    def sigma(self, y: Tensor) -> Tensor:
        """√Σ of every reading, mm: (B, 1, views, bins) float64."""
        return noise_variance(y.double(), self.photons, self.electronic_counts).sqrt()

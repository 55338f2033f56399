"""An orthonormal basis of a Krylov space for every sample of a batch, and what C = FᵀF looks like in it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctrobust.threat.budget import norms

Array = NDArray[np.float64]


class Krylov:
    """W = [Z, w₁ … w_k] with w₁ ∝ c, and wⱼ₊₁ ∝ C wⱼ, each orthogonal to all before it (Lanczos 1950).

    gram      v ↦ C v, (B, …) → (B, …): symmetric, the samples each by itself
    start     c, (B, …)
    steps     the largest k: B·(k + 1) vectors are kept
    known     (values, Z): eigenvalues of C and their vectors, (k₀,) and (k₀, n), that no sample need find again

        projected   (B, K, K) float64: WᵀCW of those wⱼ whose C wⱼ has been taken, K = `size`
        start       (B, K) Wᵀc
        betas       k × (B,) ‖(I − WWᵀ)C wⱼ‖

    All vectors are orthogonalised twice against all others, so that no copies of an eigenvalue appear. Where a space
    is exhausted the rest of its wⱼ are 0.
    """

    def __init__(
        self,
        gram: Callable[[Tensor], Tensor],
        start: Tensor,
        steps: int,
        known: tuple[Array, Tensor] | None = None,
    ) -> None:
        self._gram, self._shape, self._taken = gram, start.shape, 0
        values, self._known = (np.zeros(0), start.new_empty(0, start[0].numel())) if known is None else known
        self._basis = start.new_empty(len(start), steps + 1, start[0].numel())
        self._projected = np.zeros((len(start), *2 * (len(values) + steps,)))
        self._projected[:, range(len(values)), range(len(values))] = values
        self._scale = self._projected.max((1, 2), initial=0.0)
        self.betas: list[Array] = []
        flat = start.flatten(1)
        along, _ = self._orthogonal(flat, 0, norms(flat).cpu().numpy())
        self._start = np.zeros((len(start), len(values) + steps))
        self._start[:, : len(values) + 1] = along

    @property
    def size(self) -> int:
        return len(self._known) + self._taken

    @property
    def projected(self) -> Array:
        return self._projected[:, : self.size, : self.size]

    @property
    def start(self) -> Array:
        return self._start[:, : self.size]

    def eigenpairs(self, tolerance: float) -> tuple[Array, Tensor]:
        """(values, vectors), (k₀,) and (k₀, n), of the first sample: ‖C z − λ z‖ ≤ tolerance·λ₁; without Z."""
        values, vectors = np.linalg.eigh(self.projected[0])
        settled = np.abs(vectors[-1]) * self.betas[-1][0] <= tolerance * values[-1]
        # Those of the far end settle as well, but are no use: with the top alone, solutions need fewer steps.
        settled &= values >= values[-1] / 2
        turned = torch.from_numpy(vectors[:, settled].T.copy()).to(self._basis)
        return values[settled], turned @ self._basis[0, : self._taken]

    def extend(self) -> None:
        """Take one more product with C."""
        last = len(self._known) + self._taken
        ahead = self._gram(self._basis[:, self._taken].reshape(self._shape)).flatten(1)
        self._scale = np.maximum(self._scale, norms(ahead).cpu().numpy())
        along, beta = self._orthogonal(ahead, self._taken + 1, self._scale)
        self._projected[:, : last + 1, last] = self._projected[:, last, : last + 1] = along[:, :-1]
        self.betas.append(beta)
        self._taken += 1

    def combine(self, coordinates: Array) -> Tensor:
        """(B, K) → (B, …): W times coordinates."""
        given = torch.from_numpy(coordinates).to(self._basis)
        return self._combined(given, self._taken).reshape(self._shape)

    def _orthogonal(self, vector: Tensor, count: int, scale: Array) -> tuple[Array, Array]:
        """Make the next wⱼ of a vector; its coordinates, and the length that was left of it."""
        along: Any = 0
        for _ in range(2):
            part = torch.cat(
                [vector @ self._known.T, torch.bmm(self._basis[:, :count], vector[..., None])[..., 0]], 1
            )
            vector = vector - self._combined(part, count)
            along = along + part.double()
        length = norms(vector)
        noise = 100 * torch.finfo(vector.dtype).eps * torch.from_numpy(scale).to(length)
        length = torch.where(length > noise, length, 0)
        unit = torch.where(length > 0, 1 / length, 0)
        self._basis[:, count] = vector * unit[:, None].to(vector)
        return torch.cat([along, length[:, None]], 1).cpu().numpy(), length.cpu().numpy()

    def _combined(self, coordinates: Tensor, count: int) -> Tensor:
        known = len(self._known)
        own = torch.bmm(coordinates[:, None, known:], self._basis[:, :count])[:, 0]
        return coordinates[:, :known] @ self._known + own

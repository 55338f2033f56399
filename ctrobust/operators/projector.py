"""The measurement operator A: batched, with its exact transpose, differentiable any number of times."""

import math
from typing import Any

import torch
from torch import Tensor

from ctrobust.core.geometry import ParallelBeam
from ctrobust.operators.backends import BACKENDS, Backend
from ctrobust.operators.filtering import filter_sinogram

MATRIX_BUDGET_BYTES = 4 * 2**30
"""`auto` takes the matrix up to this size (A and Aᵀ together), and ASTRA on the fly beyond."""


class Projector:
    """A x = line integrals of x along the rays of a geometry, in (units of x) × mm.

        A = Projector(ParallelBeam(128, 36, pixel_mm=2.8))
        y = A(x)            (B, 1, H, W) → (B, 1, views, bins)
        A.T(y)              (B, 1, views, bins) → (B, 1, H, W), the exact transpose: ⟨A x, y⟩ = ⟨x, Aᵀ y⟩
        A.fbp(y)            filtered back-projection, in the units of x

    Interpolation is Joseph's (ASTRA's `linear`). Forward and transpose are each other's derivative, so both
    can be differentiated twice. float32; the matrix back-end computes in float64 when given float64.

    backend   "matrix", "astra" or "auto": the matrix while it fits in `MATRIX_BUDGET_BYTES`, else on the fly
    matched   whether A.T is the exact transpose; gradients through an operator that is not are wrong
    Raises ValueError on an unknown back-end and on inputs of another shape.
    """

    def __init__(
        self, geometry: ParallelBeam, backend: str = "auto", device: str | torch.device = "cpu"
    ) -> None:
        self.geometry = geometry
        self.device = torch.device(device)
        name = _choose_backend(geometry, self.device) if backend == "auto" else backend
        if name not in BACKENDS:
            raise ValueError(f"backend {backend!r}: give one of {', '.join(BACKENDS)} or auto")
        self._backend: Backend = BACKENDS[name](geometry, self.device)

    @property
    def backend(self) -> str:
        return self._backend.name

    @property
    def matched(self) -> bool:
        return self._backend.matched

    def __call__(self, x: Tensor) -> Tensor:
        """Line integrals: (B, 1, H, W) → (B, 1, views, bins)."""
        return _apply(x, self._backend, False, self.geometry.image_shape)

    def T(self, y: Tensor) -> Tensor:
        """The exact transpose: (B, 1, views, bins) → (B, 1, H, W)."""
        return _apply(y, self._backend, True, self.geometry.sinogram_shape)

    def fbp(self, y: Tensor, window: str = "ram-lak") -> Tensor:
        """Filtered back-projection: (B, 1, views, bins) → (B, 1, H, W), in the units of x.

        window: ram-lak, shepp-logan, cosine, hamming or hann. Views are weighted by the angle they stand for.
        """
        weights = torch.as_tensor(self.geometry.view_weights, dtype=y.dtype, device=y.device)
        filtered = filter_sinogram(y, window) * weights[:, None]
        return self.T(filtered) / self.geometry.pixel_mm**2


class _Linear(torch.autograd.Function):
    """A or Aᵀ; the derivative of each is the other, applied through this same function."""

    @staticmethod
    def forward(ctx: Any, batch: Tensor, backend: Backend, transposed: bool) -> Tensor:
        ctx.backend, ctx.transposed = backend, transposed
        # Line integrals keep their precision whatever the network around them is run in.
        with torch.autocast(batch.device.type, enabled=False):
            return backend.adjoint(batch) if transposed else backend.forward(batch)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        turned = _Linear.apply(gradient, ctx.backend, not ctx.transposed)  # type: ignore[no-untyped-call]
        return turned, None, None


def _apply(batch: Tensor, backend: Backend, transposed: bool, shape: tuple[int, int]) -> Tensor:
    if batch.ndim != 4 or batch.shape[1:] != (1, *shape):
        raise ValueError(f"input of shape {tuple(batch.shape)}: give (batch, 1, {shape[0]}, {shape[1]})")
    if batch.dtype not in (torch.float32, torch.float64):
        batch = batch.to(torch.float32)
    result: Tensor = _Linear.apply(batch, backend, transposed)  # type: ignore[no-untyped-call]
    return result


def _choose_backend(geometry: ParallelBeam, device: torch.device) -> str:
    # Joseph's method: a ray crosses each of the N rows (or columns) it marches along, with two weights each.
    entries = 2 * max(geometry.image_shape) * math.prod(geometry.sinogram_shape)
    fits = 2 * entries * 8 <= MATRIX_BUDGET_BYTES
    return "matrix" if fits or device.type != "cpu" else "astra"

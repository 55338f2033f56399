"""The measurement operator A: batched, with its exact transpose, differentiable any number of times."""

from typing import Any

import torch
from torch import Tensor

from ctrobust.core.geometry import FanBeam, Geometry
from ctrobust.operators.backends import Backend, build
from ctrobust.operators.fan import fan_fbp
from ctrobust.operators.filtering import filter_sinogram


class Projector:
    """A x = line integrals of x along the rays of a geometry, in (units of x) × mm.

        A = Projector(ParallelBeam(128, 36, pixel_mm=2.8))
        y = A(x)            (B, 1, H, W) → (B, 1, views, bins)
        A.T(y)              (B, 1, views, bins) → (B, 1, H, W), the exact transpose: ⟨A x, y⟩ = ⟨x, Aᵀ y⟩
        A.fbp(y)            filtered back-projection, in the units of x

    The weights of a ray are Joseph's (ASTRA's `linear`) in a parallel beam and exact lengths (`line_fanflat`) in a
    fan, the same in every back-end. Forward and transpose are each other's derivative, so both can be
    differentiated twice. float32 and float64; ASTRA's own kernels compute in float32 whatever they are given.

    backend   auto         the first that works of numba, matrix, astra on a CPU and triton, matrix on CUDA
              numba        on the CPU, no matrix
              triton       on CUDA, no matrix
              matrix       sparse products on any device, up to `backends.MATRIX_BUDGET_BYTES`
              astra        ASTRA's CPU projectors, one slice a thread
              astra-cuda   ASTRA's GPU projectors: not matched
    matched   whether A.T is the exact transpose; gradients through an operator that is not are wrong
    Raises ValueError on an unknown back-end, on one that cannot serve this device or geometry, and on inputs of
    another shape; ImportError where a back-end's package is missing.
    """

    def __init__(self, geometry: Geometry, backend: str = "auto", device: str | torch.device = "cpu") -> None:
        self.geometry = geometry
        self.device = torch.device(device)
        self._backend: Backend = build(backend, geometry, self.device)

    @property
    def backend(self) -> str:
        return self._backend.name

    @property
    def image_shape(self) -> tuple[int, int]:
        """(rows, columns)"""
        return self.geometry.image_shape

    @property
    def sinogram_shape(self) -> tuple[int, int]:
        """(views, bins)"""
        return self.geometry.sinogram_shape

    @property
    def matched(self) -> bool:
        return self._backend.matched

    def __call__(self, x: Tensor) -> Tensor:
        """Line integrals: (B, 1, H, W) → (B, 1, views, bins)."""
        return _apply(x, self._backend, False, self.image_shape, self.sinogram_shape)

    def T(self, y: Tensor) -> Tensor:
        """The exact transpose: (B, 1, views, bins) → (B, 1, H, W)."""
        return _apply(y, self._backend, True, self.sinogram_shape, self.image_shape)

    def fbp(self, y: Tensor, window: str = "ram-lak", cutoff: float = 1.0) -> Tensor:
        """Filtered back-projection: (B, 1, views, bins) → (B, 1, H, W), in the units of x.

        window: ram-lak, shepp-logan, cosine, hamming or hann, ending at `cutoff` × the Nyquist frequency. Views are
        weighted by the angle they stand for; a fan's short scan by Parker's weights.
        """
        if isinstance(self.geometry, FanBeam):
            y = _checked(y, self.sinogram_shape)
            return fan_fbp(self.geometry, y, window, cutoff)
        weights = torch.as_tensor(self.geometry.view_weights, dtype=y.dtype, device=y.device)
        filtered = filter_sinogram(y, window, cutoff) * weights[:, None]
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


def _apply(
    batch: Tensor, backend: Backend, transposed: bool, given: tuple[int, int], wanted: tuple[int, int]
) -> Tensor:
    batch = _checked(batch, given)
    if not len(batch):
        return batch.new_zeros(0, 1, *wanted)
    result: Tensor = _Linear.apply(batch, backend, transposed)  # type: ignore[no-untyped-call]
    return result


def _checked(batch: Tensor, shape: tuple[int, int]) -> Tensor:
    if batch.ndim != 4 or batch.shape[1:] != (1, *shape):
        raise ValueError(f"input of shape {tuple(batch.shape)}: give (batch, 1, {shape[0]}, {shape[1]})")
    return batch if batch.dtype in (torch.float32, torch.float64) else batch.to(torch.float32)

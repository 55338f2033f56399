"""A dense measurement operator for compressed sensing: a matrix behind the interface of `Projector`."""

import math
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ctrobust.core.geometry import ImageSize, image_shape_of


class DenseOperator:
    """A x = M x for a matrix M and every channel alone, the pixels taken row by row.

        A = sensing.gaussian(300, 28, seed=0)
        y = A(x)            (B, C, H, W) → (B, C, 1, m)
        A.T(y)              (B, C, 1, m) → (B, C, H, W), the exact transpose: ⟨A x, y⟩ = ⟨x, Aᵀ y⟩
        A.pinv(y)           (B, C, 1, m) → (B, C, H, W), least squares of least norm, in the units of x

    All three are differentiable any number of times, in float32 and float64; M is kept in float64.

    matrix            (m, H·W)
    image_shape       (H, W), or one number for a square
    sinogram_shape    (1, m), by the name that a measurement's shape has in CT
    matched           always true: A.T is the exact transpose
    Raises ValueError on a matrix that is not finite, measures nothing or has not H·W columns, and on inputs
    of another shape.
    """

    backend = "dense"
    matched = True

    def __init__(self, matrix: Tensor, image_shape: ImageSize, device: str | torch.device = "cpu") -> None:
        self.image_shape = image_shape_of(image_shape)
        if matrix.ndim != 2 or matrix.shape[1] != math.prod(self.image_shape):
            pixels = " × ".join(map(str, self.image_shape))
            raise ValueError(
                f"matrix of shape {tuple(matrix.shape)}: give one column for each of {pixels} pixels"
            )
        # A copy: what its owner does to the matrix later must not change A.
        self.matrix = matrix.detach().to("cpu", torch.float64, copy=True)
        if not (torch.isfinite(self.matrix).all() and self.matrix.any()):
            raise ValueError("matrix: all its entries must be finite, and not all of them zero")
        self.sinogram_shape = 1, len(matrix)
        self.device = torch.device(device)
        self._placed: dict[tuple[str, torch.dtype], tuple[Tensor, ...]] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """Measurements of every channel alone: (B, C, H, W) → (B, C, 1, m)."""
        rows = _flat(x, self.image_shape)
        (M,) = self._place("matrix", rows.dtype)
        return _shaped(_multiply(rows, M), self.sinogram_shape)

    def T(self, y: Tensor) -> Tensor:
        """The exact transpose: (B, C, 1, m) → (B, C, H, W)."""
        rows = _flat(y, self.sinogram_shape)
        (M,) = self._place("matrix", rows.dtype)
        return _shaped(_multiply(rows, M.T), self.image_shape)

    def pinv(self, y: Tensor, rcond: float | None = None) -> Tensor:
        """argmin ‖x‖ among the minimisers of ‖A x − y‖: (B, C, 1, m) → (B, C, H, W), in the units of x.

        rcond: singular values up to rcond · the largest count as zero; default max(m, H·W) · 2.2e-16, as for
        `rank`. It does not look at the type of y: float32 rounding is amplified as any δ is.
        """
        rows, rank = _flat(y, self.sinogram_shape), self._rank(rcond)
        U, S, Vh = self._place("svd", rows.dtype)
        parts = _multiply(rows, U[:, :rank].T) / S[:rank]
        return _shaped(_multiply(parts, Vh[:rank].T), self.image_shape)

    def range_share(self, y: Tensor) -> Tensor:
        """(B,) float64: the share of ‖y‖² that lies inside Range(A), 1 for y = 0."""
        rows = _flat(y, self.sinogram_shape).double()
        U = self._place("svd", rows.dtype)[0][:, : self.rank]
        inside = _multiply(rows, U.T)
        part, whole = (each.square().sum((1, 2)) for each in (inside, rows))
        # Dividing by 1 there keeps the gradient finite at y = 0.
        return torch.where(whole > 0, part / torch.where(whole > 0, whole, 1), 1)

    @property
    def rank(self) -> int:
        """How many singular values exceed max(m, H·W) · 2.2e-16 of the largest, as numpy counts."""
        return self._rank(None)

    @property
    def condition_number(self) -> float:
        """The largest singular value over the smallest that counts to the rank."""
        return float(self.singular_values[0] / self.singular_values[self.rank - 1])

    @cached_property
    def svd(self) -> tuple[Tensor, Tensor, Tensor]:
        """(U, S, Vh) of M, (m, k), (k,), (k, H·W) with k = min(m, H·W): float64 on the CPU."""
        U, S, Vh = torch.linalg.svd(self.matrix, full_matrices=False)
        return U, S, Vh

    @property
    def singular_values(self) -> Tensor:
        """(min(m, H·W),) float64, descending."""
        return self.svd[1]

    def _rank(self, rcond: float | None) -> int:
        share = max(self.matrix.shape) * torch.finfo(torch.float64).eps if rcond is None else rcond
        if not 0 <= share < 1:
            raise ValueError(f"rcond {rcond!r}: give a share of the largest singular value, 0 ≤ rcond < 1")
        return int((self.singular_values > share * self.singular_values[0]).sum())

    def _place(self, name: str, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """The matrix, or its svd, in the type of a batch and on the device; kept."""
        if (name, dtype) not in self._placed:
            stored = self.svd if name == "svd" else (self.matrix,)
            self._placed[name, dtype] = tuple(each.to(self.device, dtype) for each in stored)
        return self._placed[name, dtype]


class _Product(torch.autograd.Function):
    """Rows times a matrix; the derivative is the same with the transpose, applied through this same function."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, matrix: Tensor) -> Tensor:
        ctx.matrix = matrix
        # Measurements keep their precision whatever the network around them is run in, and so do gradients.
        with torch.autocast(rows.device.type, enabled=False):
            return rows @ matrix.T

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _multiply(gradient, ctx.matrix.T), None


def _multiply(rows: Tensor, matrix: Tensor) -> Tensor:
    product: Tensor = _Product.apply(rows, matrix)  # type: ignore[no-untyped-call]
    return product


def _flat(batch: Tensor, shape: tuple[int, int]) -> Tensor:
    if batch.ndim != 4 or batch.shape[2:] != shape:
        raise ValueError(
            f"input of shape {tuple(batch.shape)}: give (batch, channels, {shape[0]}, {shape[1]})"
        )
    if batch.dtype not in (torch.float32, torch.float64):
        batch = batch.to(torch.float32)
    return batch.flatten(2)


def _shaped(rows: Tensor, shape: tuple[int, int]) -> Tensor:
    return rows.reshape(*rows.shape[:2], *shape)

"""Dense measurement operators for compressed sensing: a matrix behind the interface of `Projector`."""

import math
import operator
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Self, SupportsIndex, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import idct
from torch import Tensor

from ctrobust.core.geometry import ImageSize
from ctrobust.core.seeds import derive_seed

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


class DenseOperator:
    """A x = M x for a matrix M and every channel alone, the pixels taken row by row.

        A = DenseOperator.gaussian(300, 28, seed=0)
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
        self.image_shape = _image_shape(image_shape)
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

    @classmethod
    def gaussian(
        cls, measurements: int, image_size: ImageSize, seed: int, *, device: str | torch.device = "cpu"
    ) -> Self:
        """Independent entries N(0, 1/m), so that E ‖A x‖² = ‖x‖²: well-conditioned while m is well below H·W."""
        m, pixels = _count("measurements", measurements), math.prod(_image_shape(image_size))
        entries = _stream(seed, "gaussian").standard_normal((m, pixels)) / math.sqrt(m)
        return cls(torch.from_numpy(entries), image_size, device)

    @classmethod
    def dct(
        cls,
        measurements: int | Sequence[int],
        image_size: ImageSize,
        *,
        rows: str = "low",
        seed: int = 0,
        device: str | torch.device = "cpu",
    ) -> Self:
        """Rows of the image's orthonormal 2-D DCT-II: A Aᵀ = I, condition number 1.

        measurements: how many, or which (u·W + v for the frequency u down, v across). Of a number, `rows`
        takes the "low" frequencies, in the zigzag of JPEG, or "random" ones by the seed.
        """
        shape = _image_shape(image_size)
        pixels = math.prod(shape)
        if rows not in ("low", "random"):
            raise ValueError(f"rows {rows!r}: give low or random, or the rows themselves as measurements")
        if np.ndim(measurements):
            chosen = _chosen(cast(Sequence[int], measurements), pixels)
        else:
            m = _count("measurements", cast(int, measurements), at_most=pixels)
            chosen = _zigzag(shape)[:m] if rows == "low" else _drawn(_stream(seed, "dct"), m, pixels)
        u, v = np.divmod(chosen, shape[1])
        waves = _dct_rows(u, shape[0])[:, :, None] * _dct_rows(v, shape[1])[:, None, :]
        return cls(torch.from_numpy(waves.reshape(len(chosen), -1)), shape, device)

    @classmethod
    def dct_submatrix(
        cls,
        measurements: int,
        image_size: ImageSize,
        transform_size: int,
        *,
        columns: str = "first",
        seed: int,
        device: str | torch.device = "cpu",
    ) -> Self:
        """m random rows and H·W columns of the orthonormal DCT-II matrix of p × p (Raj, Bresler, Li, 2020).

        transform_size: p ≥ m and H·W; at p = H·W all singular values are 1. `columns`, the "first" or "random"
        ones, decides what a larger p does: on the first part of p samples waves of neighbouring frequencies look
        nearly alike, so that "first" is ill-conditioned, more with p and m, by chance more or less with the
        seed; "random" stays about as good as a Gaussian matrix.
        """
        pixels, p = math.prod(_image_shape(image_size)), _count("transform_size", transform_size)
        m = _count("measurements", measurements, at_most=p)
        if p < pixels:
            raise ValueError(f"transform_size {p}: give at least {pixels}, a column for every pixel")
        if columns not in ("first", "random"):
            raise ValueError(f"columns {columns!r}: give first or random")
        rows = _drawn(_stream(seed, "dct rows"), m, p)
        kept = np.arange(pixels) if columns == "first" else _drawn(_stream(seed, "dct columns"), pixels, p)
        return cls(torch.from_numpy(_dct_rows(rows, p)[:, kept]), image_size, device)

    @classmethod
    def prescribed_spectrum(
        cls,
        singular_values: Sequence[float] | Array,
        image_size: ImageSize,
        seed: int,
        *,
        device: str | torch.device = "cpu",
    ) -> Self:
        """U diag(s) Vᵀ with one measurement a singular value, zeros among them; U and V uniform (Haar)."""
        s, pixels = np.asarray(singular_values, np.float64), math.prod(_image_shape(image_size))
        if s.ndim != 1 or not 1 <= len(s) <= pixels:
            raise ValueError(f"singular_values of shape {s.shape}: give a list of 1 to {pixels} numbers")
        if not (np.isfinite(s).all() and (s >= 0).all() and s.any()):
            raise ValueError(f"singular_values {s.tolist()}: give finite values ≥ 0, not all of them zero")
        U, V = (_haar(_stream(seed, side), rows, len(s)) for side, rows in (("U", len(s)), ("V", pixels)))
        return cls(torch.from_numpy((U * s) @ V.T), image_size, device)

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


def _dct_rows(rows: Indices, size: int) -> Array:
    """(len(rows), size) those rows of the orthonormal DCT-II matrix, √(2/p) cos(π k (2j + 1)/(2p))."""
    units = np.zeros((len(rows), size))
    units[np.arange(len(rows)), rows] = 1
    waves: Array = idct(units, axis=1, norm="ortho")
    return waves


def _zigzag(shape: tuple[int, int]) -> Indices:
    """The flat indices of all frequencies from low to high, each diagonal walked against the last."""
    u, v = (index.ravel() for index in np.indices(shape))
    return np.asarray(np.lexsort((np.where((u + v) % 2, u, -u), u + v)), np.int64)


def _haar(stream: np.random.Generator, rows: int, columns: int) -> Array:
    """Orthonormal columns, uniform: without the signs QR would favour some (Mezzadri, 2007)."""
    Q, R = np.linalg.qr(stream.standard_normal((rows, columns)))
    return np.asarray(Q * np.sign(np.diag(R)))


def _stream(seed: int, stage: str) -> np.random.Generator:
    return np.random.default_rng(derive_seed(seed, "dense", stage))


def _drawn(stream: np.random.Generator, count: int, size: int) -> Indices:
    return np.asarray(np.sort(stream.permutation(size)[:count]), np.int64)


def _chosen(rows: Sequence[int], size: int) -> Indices:
    try:
        indices = [operator.index(row) for row in rows]
    except TypeError:
        indices = []
    if not indices or len(set(indices)) < len(indices) or not 0 <= min(indices) <= max(indices) < size:
        raise ValueError(f"measurements {list(rows)!r}: give different whole rows from 0 to {size - 1}")
    return np.asarray(indices, np.int64)


def _count(name: str, value: SupportsIndex, at_most: int | None = None) -> int:
    try:
        count = operator.index(value)
    except TypeError:
        count = 0
    if count < 1 or (at_most is not None and count > at_most):
        allowed = "at least 1" if at_most is None else f"1 to {at_most}"
        raise ValueError(f"{name} {value!r}: give a whole number, {allowed}")
    return count


def _image_shape(image_size: ImageSize) -> tuple[int, int]:
    pair = image_size if isinstance(image_size, tuple) else (image_size, image_size)
    if len(pair) != 2:
        raise ValueError(f"image_size {image_size!r}: give one positive whole number or (rows, columns)")
    return _count("image_size", pair[0]), _count("image_size", pair[1])

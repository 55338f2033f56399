"""Measurement matrices of compressed sensing: Gaussian, sub-matrices of the DCT, a prescribed spectrum."""

import math
import operator
from collections.abc import Sequence
from typing import SupportsIndex, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import idct

from ctrobust.core.geometry import ImageSize, image_shape_of
from ctrobust.core.seeds import derive_seed
from ctrobust.operators.dense import DenseOperator

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


def gaussian(
    measurements: int, image_size: ImageSize, seed: int, *, device: str | torch.device = "cpu"
) -> DenseOperator:
    """Independent entries N(0, 1/m), so that E ‖A x‖² = ‖x‖²: well-conditioned while m is well below H·W."""
    m, pixels = _count("measurements", measurements), math.prod(image_shape_of(image_size))
    entries = _stream(seed, "gaussian").standard_normal((m, pixels)) / math.sqrt(m)
    return DenseOperator(torch.from_numpy(entries), image_size, device)


def dct(
    measurements: int | Sequence[int],
    image_size: ImageSize,
    *,
    rows: str = "low",
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> DenseOperator:
    """Rows of the image's orthonormal 2-D DCT-II: A Aᵀ = I, condition number 1.

    measurements: how many, or which (u·W + v for the frequency u down, v across). Of a number, `rows`
    takes the "low" frequencies, in the zigzag of JPEG, or "random" ones by the seed.
    """
    shape = image_shape_of(image_size)
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
    return DenseOperator(torch.from_numpy(waves.reshape(len(chosen), -1)), shape, device)


def dct_submatrix(
    measurements: int,
    image_size: ImageSize,
    transform_size: int,
    *,
    columns: str = "first",
    seed: int,
    device: str | torch.device = "cpu",
) -> DenseOperator:
    """m random rows and H·W columns of the orthonormal DCT-II matrix of p × p (Raj, Bresler, Li, 2020).

    transform_size: p ≥ m and H·W; at p = H·W all singular values are 1. `columns`, the "first" or "random"
    ones, decides what a larger p does: on the first part of p samples waves of neighbouring frequencies look
    nearly alike, so that "first" is ill-conditioned, more with p and m, by chance more or less with the
    seed; "random" stays about as good as a Gaussian matrix.
    """
    pixels, p = math.prod(image_shape_of(image_size)), _count("transform_size", transform_size)
    m = _count("measurements", measurements, at_most=p)
    if p < pixels:
        raise ValueError(f"transform_size {p}: give at least {pixels}, a column for every pixel")
    if columns not in ("first", "random"):
        raise ValueError(f"columns {columns!r}: give first or random")
    rows = _drawn(_stream(seed, "dct rows"), m, p)
    kept = np.arange(pixels) if columns == "first" else _drawn(_stream(seed, "dct columns"), pixels, p)
    return DenseOperator(torch.from_numpy(_dct_rows(rows, p)[:, kept]), image_size, device)


def prescribed_spectrum(
    singular_values: Sequence[float] | Array,
    image_size: ImageSize,
    seed: int,
    *,
    device: str | torch.device = "cpu",
) -> DenseOperator:
    """U diag(s) Vᵀ with one measurement a singular value, zeros among them; U and V uniform (Haar)."""
    s, pixels = np.asarray(singular_values, np.float64), math.prod(image_shape_of(image_size))
    if s.ndim != 1 or not 1 <= len(s) <= pixels:
        raise ValueError(f"singular_values of shape {s.shape}: give a list of 1 to {pixels} numbers")
    if not (np.isfinite(s).all() and (s >= 0).all() and s.any()):
        raise ValueError(f"singular_values {s.tolist()}: give finite values ≥ 0, not all of them zero")
    U, V = (_haar(_stream(seed, side), rows, len(s)) for side, rows in (("U", len(s)), ("V", pixels)))
    return DenseOperator(torch.from_numpy((U * s) @ V.T), image_size, device)


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

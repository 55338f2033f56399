"""A as a sparse matrix: the float64 reference for every back-end, and a way to compute on any torch device."""

import math
import warnings

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from ctrobust.core.geometry import Geometry
from ctrobust.operators import backends
from ctrobust.operators.backends import march, threads
from ctrobust.operators.rays import trace

BYTES_AN_ENTRY = 8
"""In float32: the weight and the pixel's number."""


def system_matrix(geometry: Geometry, dtype: type[np.floating] = np.float64) -> csr_array:
    """(views·bins, rows·columns) matrix of line integrals in mm, zeros left out."""
    rays, shape = trace(geometry), geometry.image_shape
    count = len(rays.start)
    ends = np.zeros(count + 1, np.int64)
    begins, no_pixels, no_weights = ends[1:].copy(), np.empty(0, np.int32), np.empty(0, dtype)
    pieces = threads.parts(count, 8 * threads.count())
    threads.each(lambda part: march.write_entries(rays, *shape, begins, no_pixels, no_weights, *part), pieces)
    np.cumsum(begins, out=ends[1:])
    if ends[-1] >= 2**31:
        raise ValueError(
            f"a matrix of {ends[-1]:.3g} entries is more than torch can index; take backend 'auto'"
        )
    pixels, weights = np.empty(ends[-1], np.int32), np.empty(ends[-1], dtype)
    threads.each(lambda part: march.write_entries(rays, *shape, ends, pixels, weights, *part), pieces)
    return csr_array((weights, pixels, ends.astype(np.int32)), shape=(count, math.prod(shape)))


def size_bytes(geometry: Geometry) -> int:
    """About what A and Aᵀ together take in float32: two pixels at every step of every ray."""
    rays = trace(geometry)
    return int(2 * 2 * BYTES_AN_ENTRY * (rays.stop - rays.first).sum())


class MatrixBackend:
    """The weights of `operators.rays` written out once; products batched by torch. float32 and float64."""

    name = "matrix"
    matched = True

    def __init__(self, geometry: Geometry, device: torch.device) -> None:
        needed, allowed = size_bytes(geometry), backends.matrix_budget_bytes(device)
        if needed > allowed:
            raise ValueError(
                f"the matrix and its transpose would take {needed / 1e9:.3g} GB, more than the {allowed / 1e9:.3g} GB "
                "they may: take backend 'auto', which needs none"
            )
        self._geometry, self._device = geometry, device
        self._stored: dict[tuple[bool, torch.dtype], Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        return self._multiply(False, x, self._geometry.sinogram_shape)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._multiply(True, y, self._geometry.image_shape)

    def _multiply(self, transposed: bool, batch: Tensor, shape: tuple[int, int]) -> Tensor:
        key = transposed, batch.dtype
        if key not in self._stored:
            # Products read the rows of a CSR matrix, so the transpose is stored as well: memory for speed.
            matrix = system_matrix(self._geometry, np.float32 if batch.dtype == torch.float32 else np.float64)
            self._stored[key] = _to_torch(matrix.T.tocsr() if transposed else matrix, self._device)
        product = self._stored[key] @ batch.reshape(len(batch), -1).T.contiguous()
        return product.T.reshape(len(batch), 1, *shape)


def _to_torch(matrix: csr_array, device: torch.device) -> Tensor:
    with warnings.catch_warnings():
        # torch calls its CSR tensors beta; the products used here are held to ASTRA by the tests.
        warnings.filterwarnings("ignore", message="Sparse")
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr),
            torch.from_numpy(matrix.indices),
            torch.from_numpy(matrix.data),
            size=matrix.shape,
            device=device,
            check_invariants=False,
        )

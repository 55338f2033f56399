"""How A and Aᵀ are computed. Each back-end maps (B, …) batches without gradients; `projector` adds those."""

import os
import warnings
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from ctrobust.core.geometry import ParallelBeam
from ctrobust.operators import astra_link


class Backend(Protocol):
    """One way to compute A; `matched` says whether `adjoint` is the exact transpose of `forward`."""

    name: str
    matched: bool

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, H, W) → (B, 1, views, bins)"""

    def adjoint(self, y: Tensor) -> Tensor:
        """(B, 1, views, bins) → (B, 1, H, W)"""


class MatrixBackend:
    """ASTRA's own system matrix, read once; products batched and threaded by torch. float32 and float64."""

    name = "matrix"
    matched = True

    def __init__(self, geometry: ParallelBeam, device: torch.device) -> None:
        self._geometry, self._device = geometry, device
        matrix = astra_link.system_matrix(geometry)
        # Products read the rows of a CSR matrix, so the transpose is stored as well: memory for speed.
        self._rows = {torch.float32: _to_torch(matrix, device)}
        self._columns = {torch.float32: _to_torch(matrix.T.tocsr(), device)}

    def forward(self, x: Tensor) -> Tensor:
        return self._multiply(self._rows, x, self._geometry.sinogram_shape)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._multiply(self._columns, y, self._geometry.image_shape)

    def _multiply(self, stored: dict[torch.dtype, Tensor], batch: Tensor, shape: tuple[int, int]) -> Tensor:
        if batch.dtype not in stored:
            stored[batch.dtype] = stored[torch.float32].to(batch.dtype)
        product = stored[batch.dtype] @ batch.reshape(len(batch), -1).T.contiguous()
        return product.T.reshape(len(batch), 1, *shape)


class AstraBackend:
    """ASTRA's CPU projector on the fly: no matrix in memory, one thread a slice. float32."""

    name = "astra"
    matched = True

    def __init__(self, geometry: ParallelBeam, device: torch.device) -> None:
        if device.type != "cpu":
            raise ValueError(f"device {str(device)!r}: the astra back-end computes on the CPU; take 'matrix'")
        self._geometry = geometry
        self._projector = astra_link.create_linear_projector(geometry)
        weakref.finalize(self, astra_link.delete_projector, self._projector)

    def forward(self, x: Tensor) -> Tensor:
        return self._each(astra_link.project, x, self._geometry.sinogram_shape)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._each(astra_link.backproject, y, self._geometry.image_shape)

    def _each(
        self,
        call: Callable[[int, astra_link.Array, astra_link.Array], None],
        batch: Tensor,
        shape: tuple[int, int],
    ) -> Tensor:
        source = batch.detach().to(torch.float32).contiguous().numpy()
        target = np.empty((len(batch), *shape), np.float32)
        workers = min(len(batch), torch.get_num_threads(), os.cpu_count() or 1) or 1
        with ThreadPoolExecutor(workers) as pool:
            # list() so that an error in a thread is raised here
            list(pool.map(lambda pair: call(self._projector, *pair), zip(source[:, 0], target, strict=True)))
        return torch.from_numpy(target)[:, None].to(batch.dtype)


def _to_torch(matrix: csr_array, device: torch.device) -> Tensor:
    with warnings.catch_warnings():
        # torch calls its CSR tensors beta; the products used here are held to ASTRA by the tests.
        warnings.filterwarnings("ignore", message="Sparse")
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int32)),
            torch.from_numpy(matrix.indices.astype(np.int32)),
            torch.from_numpy(matrix.data),
            size=matrix.shape,
            device=device,
            check_invariants=False,
        )


BACKENDS: dict[str, Callable[[ParallelBeam, torch.device], Backend]] = {
    "matrix": MatrixBackend,
    "astra": AstraBackend,
}

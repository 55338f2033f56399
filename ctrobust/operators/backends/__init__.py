"""How A and Aᵀ are computed: one file a way, one table that lists them, one rule that chooses."""

import importlib
import warnings
from typing import Protocol

import torch
from torch import Tensor

from ctrobust.core.geometry import Geometry

BACKENDS = {
    "numba": "NumbaBackend",
    "triton": "TritonBackend",
    "matrix": "MatrixBackend",
    "astra": "AstraBackend",
    "astra-cuda": "AstraCudaBackend",
}

CHOICES = {"cpu": ("numba", "matrix", "astra"), "cuda": ("triton", "matrix")}
"""`auto` takes the first that works on the device. astra-cuda is not among them: its transpose is not exact."""

MATRIX_BUDGET_BYTES = 4 * 2**30
"""The matrix is refused beyond this size on the CPU, A and Aᵀ together; it grows with pixels along a side × rays."""


def matrix_budget_bytes(device: torch.device) -> int:
    """On CUDA, half of the memory that is free."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0]) // 2
    return MATRIX_BUDGET_BYTES


class Backend(Protocol):
    """One way to compute A; `matched` says whether `adjoint` is the exact transpose of `forward`.

    Both map float32 or float64 batches without gradients; `projector` adds those.
    """

    name: str
    matched: bool

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, H, W) → (B, 1, views, bins)"""

    def adjoint(self, y: Tensor) -> Tensor:
        """(B, 1, views, bins) → (B, 1, H, W)"""


def build(name: str, geometry: Geometry, device: torch.device) -> Backend:
    """The back-end of that name, or the one that `auto` chooses.

    Warns where `auto` passes one over that does not work, with the reason. Raises ValueError on an unknown name and
    where it cannot serve this geometry or device, ImportError where a package is missing.
    """
    if name == "auto":
        return _choose(geometry, device)
    if name not in BACKENDS:
        raise ValueError(f"backend {name!r}: give one of {', '.join(BACKENDS)} or auto")
    module = importlib.import_module(f"ctrobust.operators.backends.{name.replace('-', '_')}")
    backend: Backend = getattr(module, BACKENDS[name])(geometry, device)
    return backend


def _choose(geometry: Geometry, device: torch.device) -> Backend:
    if device.type not in CHOICES:
        raise ValueError(f"device {str(device)!r}: give cpu or cuda")
    troubles = []
    for name in CHOICES[device.type]:
        try:
            backend = build(name, geometry, device)
            if device.type == "cuda":
                # Triton needs a C compiler when first used: found out now, the next in the row can serve.
                backend.forward(torch.zeros(1, 1, *geometry.image_shape, device=device))
        except Exception as trouble:  # whatever a package breaks with, another may work
            troubles.append(f"{name}: {trouble}")
        else:
            if troubles:
                warnings.warn(f"{name} computes A, since {'; '.join(troubles)}", RuntimeWarning, stacklevel=4)
            return backend
    raise ImportError(f"no back-end works on {device}: {'; '.join(troubles)}; see `ctrobust doctor`")

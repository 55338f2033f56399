"""A by ASTRA's own CPU projectors, slice by slice."""

import weakref
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ctrobust.core.geometry import Geometry
from ctrobust.operators.backends import astra_link, threads


class AstraBackend:
    """ASTRA's `linear` (parallel) or `line_fanflat` (fan) on the fly, one thread a slice. float32."""

    name = "astra"
    matched = True

    def __init__(self, geometry: Geometry, device: torch.device) -> None:
        if device.type != "cpu":
            raise ValueError(f"device {str(device)!r}: the astra back-end computes on the CPU; take 'auto'")
        self._geometry = geometry
        self._projector = astra_link.create_projector(geometry)
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
        threads.each(lambda pair: call(self._projector, *pair), zip(source[:, 0], target, strict=True))
        return torch.from_numpy(target)[:, None].to(batch.dtype)

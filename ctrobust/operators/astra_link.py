"""The one module that imports ASTRA: its projectors, its system matrix, its direct calls."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ctrobust.core.errors import UserError
from ctrobust.core.geometry import ParallelBeam

try:
    import astra
except ImportError as missing:  # no wheel on macOS
    raise UserError(
        f"astra-toolbox cannot be imported ({missing}): install it with `pip install astra-toolbox` "
        "(wheels exist for Linux and Windows)"
    ) from missing

Array = NDArray[np.float32]


def version() -> str:
    """ASTRA's version, for provenance."""
    return str(astra.__version__)


@contextmanager
def linear_projector(geometry: ParallelBeam) -> Iterator[int]:
    """ASTRA's CPU projector with Joseph's linear interpolation, alive for the length of the block."""
    identifier = create_linear_projector(geometry)
    try:
        yield identifier
    finally:
        delete_projector(identifier)


def create_linear_projector(geometry: ParallelBeam) -> int:
    """The same for a caller that keeps it: to be handed to `delete_projector` in the end."""
    return int(astra.create_projector("linear", _projection_geometry(geometry), _volume_geometry(geometry)))


def delete_projector(identifier: int) -> None:
    astra.projector.delete(identifier)


def system_matrix(geometry: ParallelBeam) -> csr_array:
    """(views·bins, rows·columns) float32 matrix of line integrals in mm."""
    with linear_projector(geometry) as projector:
        matrix = astra.projector.matrix(projector)
        try:
            entries = astra.matrix.get(matrix)
        finally:
            astra.matrix.delete(matrix)
    # ASTRA computes its weights in float32 and hands them over as float64: nothing is lost here.
    return csr_array(
        (entries.data.astype(np.float32), entries.indices, entries.indptr),
        shape=(math.prod(geometry.sinogram_shape), math.prod(geometry.image_shape)),
    )


def project(projector: int, image: Array, sinogram: Array) -> None:
    """sinogram ← A image, in place; releases the interpreter lock."""
    _filled(astra.projector.direct_FP, projector, image, sinogram)


def backproject(projector: int, sinogram: Array, image: Array) -> None:
    """image ← Aᵀ sinogram, in place; releases the interpreter lock."""
    _filled(astra.projector.direct_BP, projector, sinogram, image)


def _filled(call: Any, projector: int, source: Array, target: Array) -> None:
    # ASTRA may print an error, return and leave the target untouched: a NaN that stays shows it.
    target[0, 0] = np.nan
    call(projector, source, out=target)
    if np.isnan(target[0, 0]) and np.isfinite(source).all():
        raise RuntimeError("ASTRA left its output untouched: see what it printed above")


def _volume_geometry(geometry: ParallelBeam) -> dict[str, Any]:
    rows, columns = geometry.image_shape
    half_width, half_height = columns * geometry.pixel_mm / 2, rows * geometry.pixel_mm / 2
    return dict(astra.create_vol_geom(rows, columns, -half_width, half_width, -half_height, half_height))


def _projection_geometry(geometry: ParallelBeam) -> dict[str, Any]:
    return dict(
        astra.create_proj_geom("parallel", geometry.bin_mm, geometry.bins, np.asarray(geometry.angles))
    )

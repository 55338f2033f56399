"""The one module that imports ASTRA: its projectors and its direct calls."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctrobust.core.geometry import FanBeam, Geometry

try:
    import astra
except ImportError as missing:  # no wheel on macOS
    raise ImportError(
        f"astra-toolbox cannot be imported ({missing}): `pip install astra-toolbox` (wheels exist for Linux and "
        "Windows), or do without it: backend 'auto' computes the same on any CPU"
    ) from missing

Array = NDArray[np.float32]


def version() -> str:
    """ASTRA's version, for provenance."""
    return str(astra.__version__)


def create_projector(geometry: Geometry) -> int:
    """ASTRA's matched CPU projector; to be handed to `delete_projector` in the end."""
    kind = "line_fanflat" if isinstance(geometry, FanBeam) else "linear"
    return int(astra.create_projector(kind, projection_geometry(geometry), volume_geometry(geometry)))


def delete_projector(identifier: int) -> None:
    astra.projector.delete(identifier)


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


def volume_geometry(geometry: Geometry) -> dict[str, Any]:
    rows, columns = geometry.image_shape
    half_width, half_height = columns * geometry.pixel_mm / 2, rows * geometry.pixel_mm / 2
    return dict(astra.create_vol_geom(rows, columns, -half_width, half_width, -half_height, half_height))


def projection_geometry(geometry: Geometry) -> dict[str, Any]:
    kind = "fanflat_vec" if isinstance(geometry, FanBeam) else "parallel_vec"
    return dict(astra.create_proj_geom(kind, geometry.bins, geometry.vectors))

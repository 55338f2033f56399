"""The one module that imports ASTRA: its projectors and its direct calls."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ctrobust.core.geometry import FanBeam, Geometry, ParallelBeam

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


def sees_gpu() -> bool:
    """Whether ASTRA has a GPU to compute on. Where not, its GPU calls do nothing, or end the process."""
    return bool(astra.use_cuda())


def create_gpu_projector(geometry: Geometry) -> int:
    """ASTRA's GPU projector of one slice; to be handed to `delete_projector` in the end."""
    return int(astra.create_projector("cuda", projection_geometry(geometry), volume_geometry(geometry)))


def create_stack_projector(geometry: ParallelBeam, slices: int) -> int:
    """ASTRA's GPU projector of a stack of slices; to be handed to `delete_stack_projector` in the end."""
    views = astra.create_proj_geom("parallel3d_vec", slices, geometry.bins, stack_vectors(geometry))
    return int(astra.create_projector("cuda3d", views, stack_volume_geometry(geometry, slices)))


def delete_stack_projector(identifier: int) -> None:
    astra.projector3d.delete(identifier)


# The GPU calls below take float32, contiguous, detached tensors, on the CPU or the GPU, by DLPack. They raise nothing
# when they fail: direct_FPBP2D drops what `run` returns, direct_FPBP3D makes an AstraError and does not raise it
# (python/astra/experimental.pyx). Whether anything was computed is left to the caller to find out.


def project_on_gpu(projector: int, image: Tensor, sinogram: Tensor) -> None:
    """sinogram ← A image of one slice: (H, W), (views, bins)."""
    astra.projector.direct_FP(projector, image, out=sinogram)


def backproject_on_gpu(projector: int, sinogram: Tensor, image: Tensor) -> None:
    """image ← nearly Aᵀ sinogram of one slice: (views, bins), (H, W)."""
    astra.projector.direct_BP(projector, sinogram, out=image)


def project_stack(projector: int, images: Tensor, sinograms: Tensor) -> None:
    """sinograms ← A images: (slices, H, W), (slices, views, bins)."""
    astra.projector3d.direct_FP(projector, images, out=sinograms)


def backproject_stack(projector: int, sinograms: Tensor, images: Tensor) -> None:
    """images ← nearly Aᵀ sinograms: (slices, views, bins), (slices, H, W)."""
    astra.projector3d.direct_BP(projector, sinograms, out=images)


def stack_vectors(geometry: ParallelBeam) -> NDArray[np.float64]:
    """(views, 12) ray, centre of the detector, step from bin to bin, step from slice to slice: parallel3d_vec.

    y is mirrored. On the plane ASTRA puts row 0 at the top (`fY = -(Y - …)`, cuda/2d/fan_bp.cu), in space at the
    bottom (`fY = Y - 0.5f*iVolY + 0.5f`, cuda/3d/par3d_bp.cu; the same in par3d_fp.cu, where f1 grows with y).
    """
    flat = geometry.vectors.reshape(-1, 3, 2) * (1.0, -1.0)
    in_plane = np.pad(flat, ((0, 0), (0, 0), (0, 1))).reshape(-1, 9)
    return np.hstack([in_plane, np.tile([0.0, 0.0, 1.0], (len(flat), 1))])


def stack_volume_geometry(geometry: ParallelBeam, slices: int) -> dict[str, Any]:
    """Slices one millimetre apart, like the detector's rows, so that each row meets the centre of one slice.

    Data are then (slices, rows, columns) and (detector rows, views, bins): `geom_size` in astra/pythonutils.py.
    """
    rows, columns = geometry.image_shape
    half = columns * geometry.pixel_mm / 2, rows * geometry.pixel_mm / 2, slices / 2
    window = (edge for side in half for edge in (-side, side))
    return dict(astra.create_vol_geom(rows, columns, slices, *window))

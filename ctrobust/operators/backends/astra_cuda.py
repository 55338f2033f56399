"""A by ASTRA's GPU projectors, for comparison: forward along rays, backward from pixels, so not exact transposes.

A parallel batch is one volume of `parallel3d_vec`, its slices the images; a fan is computed slice by slice. ASTRA's
calls raise nothing when they fail, so every result is looked at, and the first ones are compared with our own.
"""

import threading
import weakref
from collections.abc import Callable

import torch
from torch import Tensor

from ctrobust.core.geometry import FanBeam, Geometry, ParallelBeam
from ctrobust.operators.backends import astra_link
from ctrobust.operators.backends.numba import NumbaBackend

PARALLEL_ERROR, FAN_ERROR = 0.05, 0.2
"""‖A x − ours‖ / ‖ours‖ at most. In a fan ASTRA interpolates where we take exact lengths: 0.04 to 0.12 apart."""

WIDEST_GAP = 0.75
"""Of the adjoint: 0.01 where bins are a pixel wide, 0.35 where they are three, 0.6 where the detector is tilted too."""

CURE = ": this version of ASTRA may lay out its data otherwise; take backend 'auto', and report it"

_ONE_CALL = threading.Lock()
"""ASTRA keeps the views of the call under way in the GPU's constant memory: one place, whatever the thread."""


class AstraCudaBackend:
    """ASTRA's `cuda3d` (parallel) or `cuda` (fan) projector. Computes in float32.

    adjoint_gap   |‖A x‖² − ⟨x, B A x⟩| / ‖A x‖² of a random smooth x, B standing in for Aᵀ; measured once
    Raises ValueError on a device that is no GPU and where no ray meets the image, ImportError where ASTRA sees no GPU,
    RuntimeError where ASTRA computes another operator than this, or nothing: for want of memory, as a rule. Images less
    than seven pixels wide or high may be taken for the former: two interpolations differ too much on them.
    """

    name = "astra-cuda"
    matched = False

    def __init__(self, geometry: Geometry, device: torch.device) -> None:
        require_gpu(device)
        self._geometry = geometry
        self._way = _Slices(geometry) if isinstance(geometry, FanBeam) else _Stack(geometry)
        self.adjoint_gap = examine(self, geometry, device)

    def forward(self, x: Tensor) -> Tensor:
        return _apply(self._way.project, x, self._geometry.sinogram_shape)

    def adjoint(self, y: Tensor) -> Tensor:
        """Nearly Aᵀ y; see `adjoint_gap`."""
        return _apply(self._way.backproject, y, self._geometry.image_shape)


def require_gpu(device: torch.device) -> None:
    """Raises unless `device` is a GPU that both PyTorch and ASTRA can use."""
    if device.type != "cuda":
        raise ValueError(
            f"device {str(device)!r}: the astra-cuda back-end computes on a GPU; give device 'cuda', or take 'auto'"
        )
    if not torch.cuda.is_available():
        raise ValueError(
            f"device {str(device)!r}: PyTorch finds no GPU (torch.cuda.is_available() is False); give device 'cpu' "
            "and backend 'auto', or install a PyTorch for CUDA"
        )
    if not astra_link.sees_gpu():
        raise ImportError(
            "ASTRA finds no GPU (astra.use_cuda() is False), though PyTorch does: this ASTRA was built without CUDA, "
            'as its own message "Unknown Projector2D" would mean too (`pip install astra-toolbox` has it built in), '
            "or its CUDA 12 is newer than the NVIDIA driver (`nvidia-smi` names the CUDA that the driver serves). Or "
            "do without: backend 'auto' computes on this GPU, with an exact transpose"
        )


class _Slices:
    """A fan: one call a slice. On the plane the vectors need no mirror, see `astra_link.stack_vectors`."""

    def __init__(self, geometry: FanBeam) -> None:
        self._projector = astra_link.create_gpu_projector(geometry)
        weakref.finalize(self, astra_link.delete_projector, self._projector)

    def project(self, x: Tensor, y: Tensor) -> None:
        for image, sinogram in zip(x, y, strict=True):
            astra_link.project_on_gpu(self._projector, image, sinogram)

    def backproject(self, y: Tensor, x: Tensor) -> None:
        for sinogram, image in zip(y, x, strict=True):
            astra_link.backproject_on_gpu(self._projector, sinogram, image)


class _Stack:
    """A parallel batch: one call. ASTRA's projector knows how many slices there are, so there is one a batch size."""

    def __init__(self, geometry: ParallelBeam) -> None:
        self._geometry = geometry
        self._projectors: dict[int, int] = {}

    def project(self, x: Tensor, y: Tensor) -> None:
        astra_link.project_stack(self._projector(len(x)), x, y)

    def backproject(self, y: Tensor, x: Tensor) -> None:
        astra_link.backproject_stack(self._projector(len(y)), y, x)

    def _projector(self, slices: int) -> int:
        if slices not in self._projectors:
            made = self._projectors[slices] = astra_link.create_stack_projector(self._geometry, slices)
            weakref.finalize(self, astra_link.delete_stack_projector, made)
        return self._projectors[slices]


Call = Callable[[Tensor, Tensor], None]
"""It computes its second argument from its first, (B, …) float32 each."""


def _apply(call: Call, batch: Tensor, shape: tuple[int, int]) -> Tensor:
    source = batch.detach()[:, 0].to(torch.float32).contiguous()
    target = _attempt(call, source, shape)
    if _nothing(source, target):
        # ASTRA allocates beside torch, which keeps what it no longer uses until told otherwise.
        torch.cuda.empty_cache()
        # Zeros can be the truth, of what no ray meets. Of ones they are not.
        ones = torch.ones_like(source)
        failed = _nothing(ones, _attempt(call, ones, shape))
        target = _attempt(call, source, shape)
        if failed or bool(target.isnan().any()):
            raise RuntimeError(
                f"ASTRA computed nothing for a batch of {len(batch)} slices (its own message may be above): the GPU is "
                f"out of memory{_free(source)}, so give smaller batches; or, where one slice fails too, it is too new "
                "or too old for this build of ASTRA, so take backend 'auto'"
            )
    return target[:, None].to(batch.dtype)


def _attempt(call: Call, source: Tensor, shape: tuple[int, int]) -> Tensor:
    target = source.new_full((len(source), *shape), torch.nan)
    with _ONE_CALL, torch.cuda.device_of(source):  # type: ignore[no-untyped-call]
        # ASTRA computes in streams of its own, which wait for none of torch's, nor torch for them.
        _settle(source)
        call(source, target)
        _settle(source)
    return target


def _nothing(source: Tensor, target: Tensor) -> bool:
    """Whether a call failed: NaN where it never began, zeros where ASTRA cleared the target and then gave up."""
    if bool(target.isnan().any()):
        return bool(source.isfinite().all())
    return bool(source.any()) and not bool(target.any())


def _settle(batch: Tensor) -> None:
    if batch.is_cuda:
        torch.cuda.synchronize(batch.device)


def _free(batch: Tensor) -> str:
    if not batch.is_cuda:
        return ""
    return f" ({torch.cuda.mem_get_info(batch.device)[0] / 2**20:.0f} MiB free)"


def examine(backend: AstraCudaBackend, geometry: Geometry, device: torch.device) -> float:
    """The adjoint's gap, of an operator that agrees with ours and keeps slices apart; RuntimeError otherwise."""
    x = _smooth(geometry.image_shape)
    ours = NumbaBackend(geometry, torch.device("cpu")).forward(x)
    if not ours.any():
        raise ValueError("no ray of this scan meets the image: check bins, bin_mm and bin_shift")
    y = _amid_zeros(backend.forward, x, device)
    error = float((y - ours).norm() / ours.norm())
    if not error <= (most := FAN_ERROR if isinstance(geometry, FanBeam) else PARALLEL_ERROR):
        raise RuntimeError(
            f"ASTRA's GPU projection of a random slice is {error:.2g} off ours, allowed {most}{CURE}"
        )
    back, power = _amid_zeros(backend.adjoint, y, device), float(y.square().sum())
    seen, *mirrored = (float((x.flip(axes) * back).sum()) for axes in ((), (-1,), (-2,), (-1, -2)))
    gap = abs(power - seen) / power
    # Rounding apart, where a mirror changes nothing: one view, one row.
    if not gap <= WIDEST_GAP or max(mirrored) > seen * 1.001:
        raise RuntimeError(
            f"ASTRA's GPU back-projection is no transpose of its projection: {gap:.2g} off, allowed {WIDEST_GAP}, and "
            f"{max(mirrored) / power - seen / power:+.2g} better mirrored{CURE}"
        )
    return gap


def _smooth(shape: tuple[int, int]) -> Tensor:
    """(1, 1, H, W) random, with details of four pixels: coarser than the interpolation, finer than a wrong shift."""
    coarse = [max(2, -(-side // 4)) for side in shape]
    noise = torch.randn(1, 1, *coarse, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(noise, size=shape, mode="bilinear", align_corners=False)


def _amid_zeros(operator: Callable[[Tensor], Tensor], one: Tensor, device: torch.device) -> Tensor:
    """What the operator makes of a slice between two of zeros, which have to stay exactly that."""
    empty = torch.zeros_like(one)
    answer = operator(torch.cat([empty, one, empty]).to(device)).cpu()
    if answer[0].any() or answer[2].any():
        raise RuntimeError(f"ASTRA's GPU projectors mix the slices of a batch{CURE}")
    return answer[1:2]

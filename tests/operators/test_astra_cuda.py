"""ASTRA on a GPU where there is none: what is asked of it, and that nothing it may do wrong passes in silence."""

import gc
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip("astra", reason="astra-toolbox is absent")

from ctrobust.core.geometry import FanBeam, Geometry, ParallelBeam
from ctrobust.operators import Projector
from ctrobust.operators.backends import astra_cuda, astra_link
from ctrobust.operators.backends.astra_cuda import AstraCudaBackend
from ctrobust.operators.backends.numba import NumbaBackend
from ctrobust.operators.rays import shadows

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
PARALLEL = ParallelBeam((12, 17), 9, pixel_mm=0.7, bin_mm=0.6, bin_shift=0.8, detector_tilt=0.2)
FAN = FanBeam((12, 17), 9, pixel_mm=0.7, source_to_iso_mm=30, iso_to_detector_mm=12, bin_shift=0.8)
SCANS = pytest.mark.parametrize("geometry", [PARALLEL, FAN], ids=["parallel", "fan"])


# Who is refused


def test_refuses_a_cpu() -> None:
    with pytest.raises(ValueError, match=r"device 'cpu'.*on a GPU.*'auto'"):
        Projector(PARALLEL, "astra-cuda")


def test_refuses_where_pytorch_finds_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"device 'cuda'.*PyTorch finds no GPU.*device 'cpu'"):
        Projector(PARALLEL, "astra-cuda", "cuda")


def test_refuses_where_astra_finds_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(astra_link, "sees_gpu", lambda: False)
    with pytest.raises(ImportError, match=r"Unknown Projector2D.*pip install astra-toolbox.*'auto'"):
        Projector(PARALLEL, "astra-cuda", "cuda")


# What ASTRA is told


def test_vectors_in_closed_form() -> None:
    θ, turned = np.array(PARALLEL.angles), np.array(PARALLEL.angles) + 0.2
    nothing, shift, b = np.zeros(9), 0.8 * 0.6, 0.6
    rows = [np.sin(θ), np.cos(θ), nothing]
    rows += [shift * np.cos(θ), -shift * np.sin(θ), nothing]
    rows += [b * np.cos(turned), -b * np.sin(turned), nothing]
    rows += [nothing, nothing, nothing + 1]
    np.testing.assert_allclose(astra_link.stack_vectors(PARALLEL), np.stack(rows, 1), atol=1e-15)


def test_astra_puts_voxels_on_the_bins_that_our_rays_meet() -> None:
    """By ASTRA's own arithmetic, the one its back-projection uses."""
    experimental = pytest.importorskip("astra.experimental")
    if not hasattr(experimental, "projectPoint"):
        pytest.skip("this build of ASTRA has no projectPoint")
    import astra

    slices, (height, width) = 4, PARALLEL.image_shape
    scan = astra.create_proj_geom("parallel3d_vec", slices, PARALLEL.bins, astra_link.stack_vectors(PARALLEL))
    a, b, c, d, _, _ = shadows(PARALLEL).T
    for view in range(9):
        for k, row, column in ((0, 0, 0), (1, 11, 0), (2, 0, 16), (3, 5, 9)):
            x, y = (column - (width - 1) / 2) * 0.7, (row - (height - 1) / 2) * 0.7  # row 0 lowest
            bin, detector_row = experimental.projectPoint(scan, x, y, k - (slices - 1) / 2, view)
            assert detector_row == pytest.approx(k, abs=1e-9)
            assert bin == pytest.approx((a + b * column + c * row)[view] / d[view], abs=1e-9)


def march(geometry: ParallelBeam, stack: np.ndarray) -> np.ndarray:
    """par3D_FP_t of ASTRA's cuda/3d/par3d_fp.cu in numpy: (slices, H, W) → (slices, views, bins), y up with rows."""
    slices = len(stack)
    volume = astra_link.stack_volume_geometry(geometry, slices)
    counts = [volume[f"Grid{name}Count"] for name in ("Col", "Row", "Slice")]
    edges = [volume["option"][f"Window{end}{axis}"] for axis in "XYZ" for end in ("Min", "Max")]
    size = np.diff(np.reshape(edges, (3, 2)))[:, 0] / counts
    sinograms = np.zeros((slices, *geometry.sinogram_shape))
    for view, vector in enumerate(astra_link.stack_vectors(geometry).reshape(-1, 4, 3)):
        ray, centre, u, v = vector / size
        main, other = (0, 1) if abs(ray[0]) >= abs(ray[1]) else (1, 0)
        slope = ray / ray[main]
        length = math.hypot(1, slope[other] * size[other] / size[main]) * size[main]
        for k in range(slices):
            for bin in range(geometry.bins):
                place = centre + (bin - (geometry.bins - 1) / 2) * u + (k - (slices - 1) / 2) * v
                total = 0.0
                for step in range(counts[main]):
                    at = place + slope * (step - (counts[main] - 1) / 2 - place[main])
                    total += read(stack, *(at + (np.array(counts) - 1) / 2))
                sinograms[k, view, bin] = total * length
    return sinograms


def read(stack: np.ndarray, x: float, y: float, z: float) -> float:
    """A texture: linear between voxels, zero around them."""
    total = 0.0
    for corner in np.ndindex(2, 2, 2):
        index, weight = [], 1.0
        for place, up, count in zip((z, y, x), corner, stack.shape, strict=True):
            low = math.floor(round(place, 9))
            share = round(place, 9) - low
            index.append(low + up)
            weight *= share if up else 1 - share
            if not 0 <= low + up < count:
                weight = 0.0
        if weight:
            total += weight * stack[tuple(index)]
    return total


@pytest.mark.parametrize(
    "geometry",
    [
        ParallelBeam((5, 8), 4, pixel_mm=0.7, bin_mm=0.6, bins=9, bin_shift=0.8, detector_tilt=0.2),
        ParallelBeam((7, 4), (0.1, 1.2, 2.0, 4.0), pixel_mm=2.5),
    ],
    ids=["wide", "high"],
)
@pytest.mark.parametrize("slices", [2, 3])
def test_astras_march_along_the_vectors_is_our_projection(geometry: ParallelBeam, slices: int) -> None:
    stack = np.random.default_rng(0).normal(size=(slices, *geometry.image_shape))
    ours = Projector(geometry, "numba")(torch.from_numpy(stack)[:, None])[:, 0]
    np.testing.assert_allclose(march(geometry, stack), ours.numpy(), rtol=1e-7, atol=1e-7)


def test_the_march_tells_a_mirror() -> None:
    geometry = ParallelBeam((5, 8), 4)
    stack = np.random.default_rng(0).normal(size=(1, 5, 8))
    ours = Projector(geometry, "numba")(torch.from_numpy(stack[:, ::-1].copy())[:, None])[:, 0]
    assert np.abs(march(geometry, stack) - ours.numpy()).max() > 0.1


# What is made of its answers: a stand-in for ASTRA that computes with numba, and may do it wrong

Change = Callable[[Tensor], Tensor | None]


class StandIn:
    """The GPU half of astra_link on the CPU; `forward` and `adjoint` change what it computes, None: write nothing.

    `upside_down`: it takes row 0 for the bottom of the image, both ways.
    """

    def __init__(self) -> None:
        self.made: dict[int, tuple[Geometry, int]] = {}
        self.forward: Change = lambda y: y
        self.adjoint: Change = lambda x: x
        self.upside_down = False
        self.calls = self.under_way = self.most_under_way = 0

    def create(self, geometry: Geometry, slices: int = 0) -> int:
        self.made[len(self.made) + 7] = geometry, slices
        return len(self.made) + 6

    def delete(self, identifier: int) -> None:
        del self.made[identifier]

    def call(self, transposed: bool, identifier: int, source: Tensor, target: Tensor) -> None:
        geometry, slices = self.made[identifier]
        self._require_dlpack(source, target)
        self.calls += 1
        self.under_way += 1
        self.most_under_way = max(self.under_way, self.most_under_way)
        time.sleep(0.001)
        ours = NumbaBackend(geometry, CPU)
        batch = (source if slices else source[None])[:, None]
        assert not slices or len(batch) == slices
        turn = flip_rows if self.upside_down else torch.clone
        answer = (turn(ours.adjoint(batch)) if transposed else ours.forward(turn(batch)))[:, 0]
        changed = (self.adjoint if transposed else self.forward)(answer)
        if changed is not None:
            target.copy_(changed if slices else changed[0])
        self.under_way -= 1

    def _require_dlpack(self, *tensors: Tensor) -> None:
        for tensor in tensors:
            assert tensor.dtype is torch.float32
            assert tensor.is_contiguous()
            assert not tensor.requires_grad


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    it = StandIn()
    parts: dict[str, Any] = {
        "create_gpu_projector": it.create,
        "create_stack_projector": it.create,
        "delete_projector": it.delete,
        "delete_stack_projector": it.delete,
        "project_on_gpu": lambda *rest: it.call(False, *rest),
        "project_stack": lambda *rest: it.call(False, *rest),
        "backproject_on_gpu": lambda *rest: it.call(True, *rest),
        "backproject_stack": lambda *rest: it.call(True, *rest),
    }
    for name, part in parts.items():
        monkeypatch.setattr(astra_link, name, part)
    monkeypatch.setattr(astra_cuda, "require_gpu", lambda device: None)
    return it


def flip_rows(images: Tensor) -> Tensor:
    return images.flip(-2)


@SCANS
def test_the_right_answers_pass(stand_in: StandIn, geometry: Geometry) -> None:
    backend, ours = AstraCudaBackend(geometry, CPU), NumbaBackend(geometry, CPU)
    assert backend.adjoint_gap < 1e-5
    assert (backend.name, backend.matched) == ("astra-cuda", False)
    for batch in (1, 2, 5):
        x = torch.randn(batch, 1, *geometry.image_shape, generator=torch.Generator().manual_seed(batch))
        y = ours.forward(x)
        torch.testing.assert_close(backend.forward(x.requires_grad_()), y.detach())
        torch.testing.assert_close(backend.adjoint(y), ours.adjoint(y))


@SCANS
def test_through_the_projector_with_gradients_and_strides(stand_in: StandIn, geometry: Geometry) -> None:
    A = Projector(geometry, "astra-cuda")
    height, width = geometry.image_shape
    x = torch.randn(3, 2, width, height, dtype=torch.float64).transpose(-1, -2)[:, :1].requires_grad_()
    y = A(x)
    assert y.dtype is torch.float64
    assert not A.matched
    torch.testing.assert_close(y, Projector(geometry, "numba")(x), rtol=1e-5, atol=1e-5)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(
        gradient, Projector(geometry, "numba").T(torch.ones_like(y)), rtol=1e-5, atol=1e-5
    )


@SCANS
def test_gives_its_projectors_back(stand_in: StandIn, geometry: Geometry) -> None:
    backend = AstraCudaBackend(geometry, CPU)
    backend.forward(torch.ones(2, 1, *geometry.image_shape))
    backend.forward(torch.ones(2, 1, *geometry.image_shape))
    assert len(stand_in.made) == (2 if isinstance(geometry, ParallelBeam) else 1)
    del backend
    gc.collect()
    assert not stand_in.made


WRONG: dict[str, tuple[str, Change, str]] = {
    "scaled": ("forward", lambda y: y * 1.3, "projection of a random slice"),
    "a bin aside": ("forward", lambda y: y.roll(1, -1), "projection of a random slice"),
    "views reversed": ("forward", lambda y: y.flip(-2), "projection of a random slice"),
    "adjoint mirrored": ("adjoint", flip_rows, "back-projection is no transpose.*better mirrored"),
    "adjoint turned": ("adjoint", lambda x: x.flip((-1, -2)), "back-projection is no transpose"),
    "adjoint negative": ("adjoint", lambda x: -x, "back-projection is no transpose"),
    "adjoint scaled": ("adjoint", lambda x: 2 * x, "back-projection is no transpose"),
    "untouched": (
        "forward",
        lambda y: None,
        "computed nothing for a batch of 3.*out of memory.*smaller batches",
    ),
    "adjoint untouched": ("adjoint", lambda x: None, "computed nothing for a batch of 3"),
    "cleared": ("forward", torch.zeros_like, "computed nothing for a batch of 3"),
    "adjoint cleared": ("adjoint", torch.zeros_like, "computed nothing for a batch of 3"),
}


@SCANS
@pytest.mark.parametrize(("way", "change", "said"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_answer_raises(
    stand_in: StandIn, geometry: Geometry, way: str, change: Change, said: str
) -> None:
    setattr(stand_in, way, change)
    with pytest.raises(RuntimeError, match=said):
        AstraCudaBackend(geometry, CPU)


@SCANS
def test_mirrored_rows_raise(stand_in: StandIn, geometry: Geometry) -> None:
    stand_in.upside_down = True
    with pytest.raises(RuntimeError, match="projection of a random slice"):
        AstraCudaBackend(geometry, CPU)


@pytest.mark.parametrize("way", ["forward", "adjoint"])
@pytest.mark.parametrize("towards", [-1, 1])
def test_a_leak_between_slices_raises(stand_in: StandIn, way: str, towards: int) -> None:
    setattr(stand_in, way, lambda stack: stack + 1e-6 * stack.roll(towards, 0))
    with pytest.raises(RuntimeError, match="mix the slices"):
        AstraCudaBackend(PARALLEL, CPU)


def test_a_scan_beside_the_image_is_refused(stand_in: StandIn) -> None:
    with pytest.raises(ValueError, match=r"no ray of this scan meets the image.*bin_shift"):
        AstraCudaBackend(ParallelBeam(16, 4, bins=8, bin_shift=100), CPU)


@SCANS
@pytest.mark.parametrize("left", [lambda y: None, torch.zeros_like], ids=["untouched", "cleared"])
def test_out_of_memory_later_raises(stand_in: StandIn, geometry: Geometry, left: Change) -> None:
    backend = AstraCudaBackend(geometry, CPU)
    x = torch.ones(4, 1, *geometry.image_shape)
    stand_in.forward = left
    with pytest.raises(RuntimeError, match="computed nothing for a batch of 4"):
        backend.forward(x)


@pytest.mark.parametrize("left", [lambda y: None, torch.zeros_like], ids=["untouched", "cleared"])
def test_tries_again_when_torch_has_let_go_of_its_memory(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, left: Change
) -> None:
    backend, x = AstraCudaBackend(PARALLEL, CPU), torch.ones(4, 1, *PARALLEL.image_shape)
    expected = backend.forward(x)
    stand_in.forward = left
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: setattr(stand_in, "forward", lambda y: y))
    torch.testing.assert_close(backend.forward(x), expected)


def test_memory_that_comes_and_goes_raises(stand_in: StandIn) -> None:
    backend, x = AstraCudaBackend(PARALLEL, CPU), torch.ones(4, 1, *PARALLEL.image_shape)
    turns = iter((False, True, False))
    stand_in.forward = lambda y: y if next(turns) else None
    with pytest.raises(RuntimeError, match="computed nothing"):
        backend.forward(x)


def test_zeros_that_are_the_truth_pass(stand_in: StandIn) -> None:
    narrow = ParallelBeam(16, (0.0,), bins=4)
    backend = AstraCudaBackend(narrow, CPU)
    x = torch.zeros(1, 1, 16, 16)
    x[..., 0] = 1  # where the detector does not reach
    assert not backend.forward(x).any()
    before = stand_in.calls
    assert not backend.forward(torch.zeros(1, 1, 16, 16)).any()
    assert stand_in.calls == before + 1


def test_a_nan_of_the_users_is_theirs(stand_in: StandIn) -> None:
    backend, x = AstraCudaBackend(PARALLEL, CPU), torch.ones(1, 1, *PARALLEL.image_shape)
    x[..., 3, 3] = torch.nan
    assert backend.forward(x).isnan().any()


def test_one_call_at_a_time(stand_in: StandIn) -> None:
    backend, x = AstraCudaBackend(PARALLEL, CPU), torch.ones(1, 1, *PARALLEL.image_shape)
    together = threading.Barrier(4)

    def call(_: int) -> None:
        together.wait()
        backend.forward(x)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(call, range(4)))
    assert stand_in.most_under_way == 1


# The real thing, where there is a GPU

REAL = """
import sys, torch, astra
from ctrobust.core.geometry import FanBeam, ParallelBeam
from ctrobust.operators import Projector
if not (torch.cuda.is_available() and astra.use_cuda()):
    print(f"torch.cuda.is_available() {torch.cuda.is_available()}, astra.use_cuda() {astra.use_cuda()}")
    sys.exit(77)
fan = dict(source_to_iso_mm=90, iso_to_detector_mm=40)
for scan, most in (
    (ParallelBeam((48, 64), 30, pixel_mm=0.7), 5e-3),
    (ParallelBeam(64, 1499, bin_mm=1.5, bin_shift=0.7, detector_tilt=0.1), 5e-3),
    (FanBeam((48, 64), 30, pixel_mm=0.7, bin_shift=0.7, **fan), 0.15),
):
    A, ours = Projector(scan, "astra-cuda", "cuda"), Projector(scan, "numba")
    height, width = scan.image_shape
    with torch.cuda.stream(torch.cuda.Stream()):
        for batch in (1, 2, 9):
            x = torch.randn(batch, 1, height // 4, width // 4, device="cuda", dtype=torch.float64)
            x = torch.nn.functional.interpolate(x, scan.image_shape, mode="bilinear")
            y, expected = A(x).cpu(), ours(x.cpu())
            error = float((y - expected).norm() / expected.norm())
            assert error < most, (scan, batch, error)
            one = torch.zeros_like(x)
            one[-1] = x[-1]
            assert not A(one)[:-1].any()
            back, expected = A.T(y.cuda()).cpu(), ours.T(y)
            assert (back - expected).norm() < 0.3 * expected.norm(), (scan, batch, "adjoint")
    print(type(scan).__name__, "error", error, "gap", A._backend.adjoint_gap)
print("agrees")
"""


def test_on_a_gpu() -> None:
    # This process hides GPUs from all it imports.
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    done = subprocess.run(
        [sys.executable, "-c", REAL], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode == 77:
        pytest.skip(f"no GPU: {done.stdout.strip()}")
    assert done.stdout.splitlines()[-1:] == ["agrees"], done.stderr[-2000:]

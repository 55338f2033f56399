"""How fast is A beside the other projectors that a PyTorch user can install, and where does its time go?

    python benchmarks/projector.py [PART ...] [--device cuda] [--size 512] [--views 143] [--batch 8] [--threads 2]

peers    A x, its transpose, A x + the gradient of ½‖A x‖², and FBP: every back-end of ours, torchtomo, deepinv's
         Tomography, a loop of ASTRA calls over slices, scikit-image, diffct; all on the same scan, N × N pixels, the
         same views on [0, π), a detector that covers the diagonal
fan      the same for a fan, with the peers that have one
growth   our time with N, views and batch
bound    our time against the bytes that the matrix moves and the vector operations that the march needs
first    what is paid once: imports, compiling, building the matrix

Before anything is timed, every peer's A x and gradient are compared with ours on a smooth phantom (where a peer turns
about the pixel N/2 and not about the image's centre, the phantom is moved along by half a pixel), its FBP with the
phantom, and its transpose with its own A. Then the ways are timed in turns, round after round. Ratios are of the
fastest rounds, since the machine is not ours alone; of the medians in brackets. What is missing is left out with its
reason. Peers are installed by hand, without their own torch: `pip install --no-deps torchtomo deepinv diffct`.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from ctrobust.core.geometry import FanBeam, Geometry, ParallelBeam
from ctrobust.operators import Projector
from ctrobust.operators.filtering import filter_sinogram
from ctrobust.operators.rays import trace

ROUNDS = 3
SAMPLE_S = 0.02
"""Quicker calls are timed several at a time."""

OPERATIONS = ("forward", "transpose", "gradient", "FBP")
OURS = {"cpu": ("numba", "matrix", "astra"), "cuda": ("triton", "matrix", "astra-cuda")}
LARGEST_CPU_SIZE_OF_DIFFCT = 64

Call = Callable[[Tensor], Tensor]


class Scan(NamedTuple):
    geometry: Geometry
    batch: int
    device: torch.device

    @property
    def size(self) -> int:
        return self.geometry.image_shape[0]

    @property
    def parallel(self) -> bool:
        return isinstance(self.geometry, ParallelBeam)


@dataclass(frozen=True)
class Way:
    """A way to compute A. x is (B, 1, N, N) as ours, the sinogram is laid out as it likes.

    gradient   x ↦ the gradient of ½‖A x‖², A x included
    lines      its sinogram → ours, mm
    shift      by how many pixels its centre of rotation lies to the right of, and below, the image's
    """

    forward: Call
    transpose: Call
    gradient: Call
    fbp: Call | None
    lines: Call = lambda y: y
    shift: float = 0.0


# ---- The ways -------------------------------------------------------------------------------------------------------


def by_autograd(forward: Call) -> Call:
    def gradient(x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        (forward(x).square().sum() / 2).backward()
        assert x.grad is not None
        return x.grad

    return gradient


def ours(backend: str) -> Callable[[Scan], Way]:
    def build(scan: Scan) -> Way:
        A = Projector(scan.geometry, backend, scan.device)
        return Way(A, A.T, by_autograd(A), A.fbp)

    return build


def margins(scan: Scan) -> tuple[int, int]:
    """Columns of zeros before and after: how scikit-image, and deepinv after it, pad to the diagonal."""
    side = math.ceil(math.sqrt(2) * scan.size)
    before = side // 2 - scan.size // 2
    return before, side - scan.size - before


def torchtomo(backend: str) -> Callable[[Scan], Way]:
    """Its detector has as many bins as the image has columns, so the image is padded to the diagonal."""

    def build(scan: Scan) -> Way:
        from torchtomo import ParallelBeam as Theirs

        require(scan.parallel, "its fan is clipped to a circle: another problem")
        before, after = margins(scan)
        side = before + scan.size + after
        A = Theirs(side, len(scan.geometry.angles), circle=False, backend=backend).to(scan.device)

        def forward(x: Tensor) -> Tensor:
            return A(pad(x, (before, after, before, after)))

        def crop(x: Tensor) -> Tensor:
            return x[..., before : before + scan.size, before : before + scan.size]

        return Way(
            forward,
            lambda y: crop(A.adjoint(y)),
            by_autograd(forward),
            lambda y: crop(A.fbp(y)),
            lambda y: y * (side / 2),  # there the padded image is 2 wide
            (side - 1) / 2 - before - (scan.size - 1) / 2,
        )

    return build


def deepinv(exact: bool, at_once: bool) -> Callable[[Scan], Way]:
    """exact: its gradient by autograd (its default) or its own back-projector; at_once: all views in one call."""

    def build(scan: Scan) -> Way:
        from deepinv.physics import Tomography

        geometry, before = scan.geometry, margins(scan)[0]
        side = sum(margins(scan)) + scan.size
        views = torch.from_numpy(np.rad2deg(geometry.angles)).float().to(scan.device)
        fan: dict[str, Any] | None = None
        cosine = torch.ones(())
        if isinstance(geometry, FanBeam):
            require(exact, "its back-projector knows no fan")
            views += 90  # there the source starts on the left
            depth = geometry.source_to_iso_mm + geometry.iso_to_detector_mm
            cosine = (
                torch.from_numpy(depth / np.hypot(depth, geometry.bin_centres_mm)).float().to(scan.device)
            )
            fan = dict(
                # It takes the first and the last pixel's centres for the edges of the image.
                pixel_spacing=geometry.pixel_mm * (side - 1) / side,
                source_radius=geometry.source_to_iso_mm,
                detector_radius=geometry.iso_to_detector_mm,
                n_detector_pixels=geometry.bins,
                detector_spacing=geometry.bin_mm,
            )
        A = Tomography(
            views,
            scan.size,
            normalize=False,
            adjoint_via_backprop=exact,
            parallel_computation=at_once,
            fan_beam=fan is not None,
            fan_parameters=fan,
            device=scan.device,
        )
        return Way(
            A.A,
            A.A_adjoint,
            by_autograd(A.A),
            A.fbp,
            lambda y: y.transpose(-1, -2) / cosine,  # it sums over depths, not along rays
            (side - 1) / 2 - before - (scan.size - 1) / 2,
        )

    return build


def astra_loop(scan: Scan) -> Way:
    """One call after the other; our back-end `astra` makes the same calls in as many threads as torch has."""
    import astra

    geometry, (views, bins) = scan.geometry, scan.geometry.sinogram_shape
    angles = np.asarray(geometry.angles)
    volume = astra.create_vol_geom(*geometry.image_shape)
    if isinstance(geometry, FanBeam):
        distances = geometry.source_to_iso_mm, geometry.iso_to_detector_mm
        lines = astra.create_proj_geom("fanflat", geometry.bin_mm, bins, angles, *distances)
    else:
        lines = astra.create_proj_geom("parallel", geometry.bin_mm, bins, angles)
    projector = astra.create_projector("linear" if scan.parallel else "line_fanflat", lines, volume)
    sinogram, image = astra.data2d.create("-sino", lines), astra.data2d.create("-vol", volume)

    def each(call: Callable[..., Any], source: Tensor, *shape: int) -> Tensor:
        target = np.empty((len(source), 1, *shape), np.float32)
        for given, wanted in zip(source[:, 0].numpy(), target[:, 0], strict=True):
            call(projector, given, out=wanted)
        return torch.from_numpy(target)

    def forward(x: Tensor) -> Tensor:
        return each(astra.projector.direct_FP, x, views, bins)

    def transpose(y: Tensor) -> Tensor:
        return each(astra.projector.direct_BP, y, *geometry.image_shape)

    options = {"ProjectorId": projector, "ProjectionDataId": sinogram, "ReconstructionDataId": image}
    filtered = astra.algorithm.create(astra.astra_dict("FBP") | options) if scan.parallel else 0

    def fbp(y: Tensor) -> Tensor:
        found = np.empty((len(y), 1, *geometry.image_shape), np.float32)
        for given, wanted in zip(y[:, 0].numpy(), found[:, 0], strict=True):
            astra.data2d.store(sinogram, given)
            astra.algorithm.run(filtered)
            wanted[:] = astra.data2d.get(image)
        return torch.from_numpy(found)

    return Way(forward, transpose, lambda x: transpose(forward(x)), fbp if scan.parallel else None)


def scikit_image(scan: Scan) -> Way:
    """It has no threads; slices are shared among as many as torch has. Its gradient is made of its unfiltered FBP."""
    from skimage.transform import iradon, radon

    require(scan.parallel, "it has no fan")
    views = np.rad2deg(scan.geometry.angles)

    def each(call: Callable[[Any], Any], source: Tensor) -> Tensor:
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            return torch.from_numpy(np.stack(list(pool.map(call, source[:, 0].numpy())))[:, None])

    def forward(x: Tensor) -> Tensor:
        return each(lambda image: radon(image, views, circle=False, preserve_range=True), x)

    def back(y: Tensor, filter_name: str | None) -> Tensor:
        options = dict(output_size=scan.size, circle=False, filter_name=filter_name)
        return each(lambda sinogram: iradon(sinogram, views, **options), y)

    def transpose(y: Tensor) -> Tensor:
        return back(y, None) * (2 * len(views) / math.pi)

    shift = scan.size // 2 - (scan.size - 1) / 2
    return Way(
        forward,
        transpose,
        lambda x: transpose(forward(x)),
        lambda y: back(y, "ramp"),
        lambda y: y.transpose(-1, -2),
        shift,
    )


def diffct(scan: Scan) -> Way:
    """Siddon's lengths: constant pixels where Joseph interpolates, which in a parallel beam is another operator."""
    from diffct import Projector as Theirs
    from diffct import fbp

    on_cuda = scan.device.type == "cuda"
    small = on_cuda or scan.size <= LARGEST_CPU_SIZE_OF_DIFFCT
    require(small, f"made for CUDA; its path for a CPU is timed up to {LARGEST_CPU_SIZE_OF_DIFFCT} × … only")
    geometry = scan.geometry
    # There rows count the other way.
    vectors = torch.from_numpy(geometry.vectors * [1, -1, 1, -1, 1, -1]).float().to(scan.device)
    frames = vectors[:, :2], vectors[:, 2:4], vectors[:, 4:] / geometry.bin_mm
    shape, beam = geometry.image_shape, "parallel" if scan.parallel else "fan"
    spacing = dict(beam=beam, detector_spacing=geometry.bin_mm, voxel_spacing=geometry.pixel_mm)
    A = Theirs(frames, shape, (geometry.bins,), backend="numba" if on_cuda else "torch", **spacing)
    angles = torch.tensor(geometry.angles, device=scan.device)

    def filtered(y: Tensor) -> Tensor:
        backend = "auto" if on_cuda else "torch"
        slices = [fbp(one, frames, shape, angles, backend=backend, **spacing) for one in y[:, 0]]
        return torch.stack(slices)[:, None]

    return Way(A.project, A.backproject, by_autograd(A.project), filtered)


def ways(device: torch.device) -> dict[str, Callable[[Scan], Way]]:
    named = {f"ours: {name}": ours(name) for name in OURS[device.type]}
    if device.type == "cpu":
        return named | {
            "torchtomo": torchtomo("torch"),
            "deepinv, exact gradient": deepinv(exact=True, at_once=False),
            "deepinv, its own": deepinv(exact=False, at_once=False),
            "ASTRA, a loop": astra_loop,
            "scikit-image": scikit_image,
            "diffct": diffct,
        }
    return named | {
        "torchtomo, cuda": torchtomo("cuda"),
        "torchtomo, triton": torchtomo("triton"),
        "deepinv, exact gradient": deepinv(exact=True, at_once=False),
        "deepinv, its own": deepinv(exact=False, at_once=False),
        "diffct": diffct,
    }


def require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)


# ---- Timing ---------------------------------------------------------------------------------------------------------


@dataclass
class Contender:
    """A way that ran: its calls, how it compares with ours, and the seconds a call of every round."""

    calls: dict[str, Callable[[], object]]
    checks: dict[str, float]
    repeats: dict[str, int]
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def best(self, operation: str) -> float:
        return min(self.seconds.get(operation, [math.nan]))

    def median(self, operation: str) -> float:
        return statistics.median(self.seconds.get(operation, [math.nan]))


def compare(
    scan: Scan, named: dict[str, Callable[[Scan], Way]], rounds: int = ROUNDS
) -> dict[str, Contender]:
    """Time every way that runs; print why the others do not."""
    x = phantom(scan, 0.0)
    A = Projector(scan.geometry)
    expected = A(x), by_autograd(A)(x)
    running = {}
    for name, build in named.items():
        try:
            running[name] = prepare(build(scan), scan, *expected)
        except Exception as trouble:  # a peer may break in any way; the others are still to be timed
            print(f"  {name}: left out: {type(trouble).__name__}: {' '.join(str(trouble).split())[:150]}")
    for _ in range(rounds):
        for contender in running.values():
            for operation, call in contender.calls.items():
                spent = timed(call, scan.device, contender.repeats[operation])
                contender.seconds.setdefault(operation, []).append(spent)
    return running


def prepare(way: Way, scan: Scan, y_ours: Tensor, gradient_ours: Tensor) -> Contender:
    x = phantom(scan, way.shift).to(scan.device)
    y = way.forward(x).detach()
    calls: dict[str, Callable[[], object]] = {
        "forward": lambda: way.forward(x),
        "transpose": lambda: way.transpose(y),
        "gradient": lambda: way.gradient(x),
    }
    # The last slice is enough to tell: some peers take seconds for one.
    gradient = way.gradient(x[-1:]).detach().cpu()
    checks = {
        "A x": distance(way.lines(y), y_ours),
        # Of its own sinogram, which may be in other units: a multiple of ours.
        "gradient": distance(gradient * (gradient_ours[-1].norm() / gradient.norm()), gradient_ours[-1:]),
        "gap": adjoint_gap(way, x[-1:], y[-1:]),
    }
    if (fbp := way.fbp) is not None:
        calls["FBP"] = lambda: fbp(y)
        checks["FBP"] = distance(fbp(y[-1:]), x[-1:].cpu())
    # The first call may still compile something for this batch.
    seconds = {operation: timed(call, scan.device, 1) for operation, call in calls.items()}
    repeats = {operation: max(1, round(SAMPLE_S / spent)) for operation, spent in seconds.items()}
    return Contender(calls, checks, repeats)


def timed(call: Callable[[], object], device: torch.device, repeats: int) -> float:
    settle(device)
    begin = time.perf_counter()
    for _ in range(repeats):
        call()
    settle(device)
    return (time.perf_counter() - begin) / repeats


def settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def phantom(scan: Scan, shift: float) -> Tensor:
    """(B, 1, N, N) two smooth hills, higher from slice to slice; `shift`: see Way."""
    place = (torch.arange(scan.size, dtype=torch.float64) - (scan.size - 1) / 2 - shift) / scan.size
    hills = [(0.10, -0.15, 0.10, 1.0), (-0.20, 0.10, 0.06, 0.5)]
    x = sum(
        height * torch.exp(-((place - column) ** 2 + (place[:, None] - row) ** 2) / (2 * width**2))
        for column, row, width, height in hills
    )
    assert isinstance(x, Tensor)
    return torch.stack([x * (1 + n / scan.batch) for n in range(scan.batch)])[:, None].float()


def distance(found: Tensor, expected: Tensor) -> float:
    found = found.detach().cpu().double()
    return float((found - expected).norm() / expected.double().norm())


def adjoint_gap(way: Way, x: Tensor, y: Tensor) -> float:
    """|⟨A x, y⟩ − ⟨x, Aᵀ y⟩| / (‖A x‖·‖y‖) of random x and y."""
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(part.shape, generator=generator).to(part) for part in (x, y))
    forward, back = way.forward(x).detach().cpu().double(), way.transpose(y).detach().cpu().double()
    gap = (forward * y.cpu()).sum() - (x.cpu() * back).sum()
    return float(gap.abs() / (forward.norm() * y.cpu().double().norm()))


# ---- The parts ------------------------------------------------------------------------------------------------------


def peers(given: argparse.Namespace) -> None:
    device = torch.device(given.device)
    if device.type == "cuda":
        for batch in (1, 8, 32):
            contest(Scan(ParallelBeam(given.size, given.views), batch, device))
        return
    contest(Scan(ParallelBeam(LARGEST_CPU_SIZE_OF_DIFFCT, 36), 2, device))
    for size in (given.size // 2, given.size):
        contest(Scan(ParallelBeam(size, given.views), given.batch, device))


def fan(given: argparse.Namespace) -> None:
    size, device = given.size, torch.device(given.device)
    scan = FanBeam(size, given.views, source_to_iso_mm=2 * size, iso_to_detector_mm=size)
    for batch in (1, 8, 32) if device.type == "cuda" else (given.batch,):
        contest(Scan(scan, batch, device))


def contest(scan: Scan) -> None:
    views, bins = scan.geometry.sinogram_shape
    kind = "parallel beam" if scan.parallel else "fan"
    title = f"{kind}, {scan.size} × {scan.size}, {views} views, {bins} bins, batch {scan.batch}"
    print(f"\n{title} on {scan.device}{load()}")
    found = compare(scan, ways(scan.device))
    if not found:
        return
    print(f"{'ms a slice, fastest':26}" + "".join(f"{name:>12}" for name in OPERATIONS))
    for name, contender in found.items():
        cells = (1e3 * contender.best(operation) / scan.batch for operation in OPERATIONS)
        print(f"{name:26}" + "".join(f"{cell:12.3f}" for cell in cells))
    print(f"{'off ours, relative':26}{'A x':>12}{'gap of Aᵀ':>12}{'gradient':>12}{'FBP, of x':>12}")
    for name, contender in found.items():
        cells = (contender.checks.get(check, math.nan) for check in ("A x", "gap", "gradient", "FBP"))
        print(f"{name:26}" + "".join(f"{cell:12.1e}" for cell in cells))
    for operation in OPERATIONS:
        conclude(operation, found)


def conclude(operation: str, found: dict[str, Contender]) -> None:
    """Ours, of the back-end that `auto` takes, against the fastest of the others."""
    first = next((name for name in found if name.startswith("ours")), None)
    others = [name for name in found if not name.startswith("ours") and operation in found[name].seconds]
    if first is None or not others:
        return
    rival = min(others, key=lambda name: found[name].best(operation))
    ratio = found[rival].best(operation) / found[first].best(operation)
    of_medians = found[rival].median(operation) / found[first].median(operation)
    print(f"{operation:9} {first}: {ratio:.1f} × ({of_medians:.1f} ×) as fast as the fastest peer, {rival}")


def growth(given: argparse.Namespace) -> None:
    device = torch.device(given.device)
    fastest, size, views, batch = OURS[device.type][0], given.size, given.views, given.batch
    tables: list[tuple[str, str, list[tuple[int, int, int]]]] = [
        (fastest, "N", [(n, views, batch) for n in (size // 4, size // 2, size, 2 * size)]),
        (fastest, "views", [(size, n, batch) for n in (36, 143, 360, 1000)]),
        (fastest, "batch", [(size, views, n) for n in (1, 4, 8, 16, 32)]),
        ("matrix", "batch", [(size, views, n) for n in (1, 8, 32)]),
    ]
    for backend, what, scans in tables:
        print(f"\n{backend}, growth with {what} on {device}{load()}")
        print(
            f"{'N':>6}{'views':>7}{'batch':>7}"
            + "".join(f"{name:>12}" for name in OPERATIONS)
            + "   ms a slice"
        )
        for n, v, b in scans:
            scan = Scan(ParallelBeam(n, v), b, device)
            for contender in compare(scan, {backend: ours(backend)}).values():
                cells = (1e3 * contender.best(operation) / b for operation in OPERATIONS)
                print(f"{n:6}{v:7}{b:7}" + "".join(f"{cell:12.3f}" for cell in cells))


def bound(given: argparse.Namespace) -> None:
    require(given.device == "cpu", "the bounds are those of a CPU: leave out --device")
    from ctrobust.operators.backends.matrix import system_matrix

    scan = Scan(ParallelBeam(given.size, given.views), given.batch, torch.device("cpu"))
    rays, x = trace(scan.geometry), phantom(scan, 0.0)
    steps, groups = int((rays.stop - rays.first).sum()), math.ceil(scan.batch / 8)
    bytes_a_second, operations_a_second = bandwidth(), vector_operations()
    print(f"\nbounds: {given.size} × {given.size}, {given.views} views, batch {scan.batch}{load()}")
    print(
        f"copying {bytes_a_second / 1e9:.1f} GB/s, vector operations {operations_a_second / 1e9:.2f} · 10⁹/s"
    )
    found = compare(scan, {name: ours(name) for name in ("numba", "matrix")}, 2 * ROUNDS)
    y = Projector(scan.geometry)(x)
    filtering = fastest(lambda: filter_sinogram(y, "ram-lak"))
    copies = fastest(lambda: side_by_side(x, y))
    arithmetic = 3 * steps * groups / operations_a_second
    print(
        f"numba   {steps / 1e6:.1f} · 10⁶ steps, three vector operations each: {1e3 * arithmetic:.1f} ms at best"
    )
    for operation in ("forward", "transpose"):
        took = found["numba"].best(operation)
        a_step = 1e9 * (took - copies) * torch.get_num_threads() / (steps * groups)
        print(
            f"        {operation:9} {1e3 * took:7.1f} ms, of which laying slices side by side {1e3 * copies:.1f}; "
            f"{a_step:.2f} ns a step and thread; {took / arithmetic:.1f} × the bound"
        )
    took = found["numba"].best("FBP")
    print(f"        {'FBP':9} {1e3 * took:7.1f} ms, of which filtering {1e3 * filtering:.1f}")
    matrix = system_matrix(scan.geometry, np.float32)
    moved = matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes + x.nbytes + y.nbytes
    least = moved / bytes_a_second
    print(
        f"matrix  {matrix.nnz / 1e6:.1f} · 10⁶ entries, {moved / 1e6:.0f} MB with x and y: {1e3 * least:.1f} ms at best"
    )
    for operation in ("forward", "transpose"):
        took = found["matrix"].best(operation)
        print(f"        {operation:9} {1e3 * took:7.1f} ms, {took / least:.1f} × the bound")


def bandwidth(count: int = 1 << 26) -> float:
    """Bytes a second, read and written, of copying 256 MiB."""
    source, target = torch.zeros(count), torch.zeros(count)
    return 2 * source.nbytes / fastest(lambda: target.copy_(source))


def vector_operations(rounds: int = 10_000_000) -> float:
    """Multiply-adds of eight float32 a second, of as many threads as torch has, all in registers."""
    from numba import njit

    from ctrobust.operators.backends import threads
    from ctrobust.operators.backends.lanes import add, multiply_add, store
    from ctrobust.operators.backends.lanes import load as lanes_of

    @njit(nogil=True, error_model="numpy")
    def spin(array: Any, factor: float, rounds: int, like: Any) -> None:
        # Eight chains that differ, since equal ones would be computed once: as many as keep two units busy.
        a, b = lanes_of(array, 0, like), lanes_of(array, 8, like)
        c, d = lanes_of(array, 16, like), lanes_of(array, 24, like)
        e, f = lanes_of(array, 32, like), lanes_of(array, 40, like)
        g, h = lanes_of(array, 48, like), lanes_of(array, 56, like)
        one = lanes_of(array, 64, like)
        for _ in range(rounds):
            a, b = multiply_add(factor, a, one), multiply_add(factor, b, one)
            c, d = multiply_add(factor, c, one), multiply_add(factor, d, one)
            e, f = multiply_add(factor, e, one), multiply_add(factor, f, one)
            g, h = multiply_add(factor, g, one), multiply_add(factor, h, one)
        store(array, 0, add(add(add(a, b), add(c, d)), add(add(e, f), add(g, h))))

    arrays = [np.arange(72, dtype=np.float32) for _ in range(threads.count())]
    spin(arrays[0], 0.5, 1, (0,) * 8)

    def all_threads() -> None:
        threads.each(lambda array: spin(array, 0.5, rounds, (0,) * 8), arrays)

    return 8 * rounds * len(arrays) / fastest(all_threads)


def side_by_side(x: Tensor, y: Tensor) -> None:
    """The copies of the numba back-end: batch innermost, a ring of zeros around the image, and back."""
    image = x.new_zeros(x.shape[2] + 2, x.shape[3] + 2, len(x))
    image[1:-1, 1:-1] = x[:, 0].permute(1, 2, 0)
    sinogram = y.new_zeros(*y.shape[2:], len(y))
    torch.empty_like(y)[:, 0].copy_(sinogram.permute(2, 0, 1))


def fastest(call: Callable[[], object], rounds: int = 7) -> float:
    return min(timed(call, torch.device("cpu"), 1) for _ in range(rounds))


FIRST = """
import json, sys, time
ticks = [time.perf_counter()]
import torch
ticks.append(time.perf_counter())
from ctrobust.core.geometry import ParallelBeam
from ctrobust.operators import Projector
threads, size, views, batch, backend, device = json.loads(sys.argv[1])
torch.set_num_threads(threads)
ticks.append(time.perf_counter())
A = Projector(ParallelBeam(size, views), backend, device)
x, y = (torch.rand(batch, 1, *shape, device=device) for shape in (A.image_shape, A.sinogram_shape))
ticks.append(time.perf_counter())
for call in (lambda: A(x), lambda: A(x), lambda: A.T(y), lambda: A.T(y)):
    call().cpu()
    ticks.append(time.perf_counter())
torched, imported, built, first, second, back, again = (b - a for a, b in zip(ticks, ticks[1:]))
print(json.dumps([torched, imported, built, first - second, back - again]))
"""


def first(given: argparse.Namespace) -> None:
    """Each in a process of its own, numba's cache first empty, then full."""
    size, views, batch = given.size, given.views, given.batch
    print(f"\nfirst use, seconds: {size} × {size}, {views} views, batch {batch}{load()}")
    names = ("torch", "ctrobust", "A is made", "first A x", "first Aᵀ y")
    print(f"{'':26}" + "".join(f"{name:>12}" for name in names) + "   the last two beyond a second one")
    with tempfile.TemporaryDirectory() as cache:
        for backend in OURS[given.device]:
            for state in ("", ", again"):
                setting = json.dumps([given.threads, size, views, batch, backend, given.device])
                done = subprocess.run(
                    [sys.executable, "-c", FIRST, setting],
                    env=os.environ | {"NUMBA_CACHE_DIR": cache, "TRITON_CACHE_DIR": cache},
                    capture_output=True,
                    text=True,
                )
                if done.returncode:
                    print(
                        f"  {backend}: left out: {(done.stderr.strip().splitlines() or ['killed'])[-1][:150]}"
                    )
                    break
                cells = "".join(f"{seconds:12.2f}" for seconds in json.loads(done.stdout))
                print(f"{backend + state:26}{cells}")


def load() -> str:
    return f"; load {os.getloadavg()[0]:.1f}, {torch.get_num_threads()} threads"


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "peers": peers,
    "fan": fan,
    "growth": growth,
    "bound": bound,
    "first": first,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all without")
    parser.add_argument("--device", choices=OURS, default="cpu")
    for name, default in (("size", 512), ("views", 143), ("batch", 8), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"{', '.join(sorted(unknown))}: give some of {', '.join(PARTS)}")
    torch.set_num_threads(given.threads)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    warnings.filterwarnings("ignore")  # of the peers; what matters is checked
    for name in given.parts or PARTS:
        try:
            PARTS[name](given)
        except ValueError as reason:
            print(f"\n{name}: left out: {reason}")


if __name__ == "__main__":
    main()

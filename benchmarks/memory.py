"""How much memory does A take at its peak, against the size of x and y, and how much of it does it keep?

    python benchmarks/memory.py [--device cuda] [--size 512] [--threads 2]

Each back-end, number of views and batch is a process of its own. It first computes once on a tiny scan, so that what
Python, torch and the compiled code take is there before anything is measured. Then: what building A adds at its peak
and what stays of it, and the peak during A x, during A x + the gradient of ½‖A x‖², and during FBP. Printed as
multiples of the size of x and y together, everything counted: x, y and what was kept among it.

On the CPU it is the resident memory (Linux only: the kernel's high-water mark, reset before each), with large blocks
given back when freed; on CUDA what torch allocates, which ASTRA's own does not show in.
"""

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ctrobust.core.geometry import ParallelBeam
from ctrobust.operators import Projector

BACKENDS = {"cpu": ("numba", "matrix", "astra"), "cuda": ("triton", "matrix", "astra-cuda")}
VIEWS, BATCHES = (143, 1000), (1, 8, 32)
TINY = 16
TOO_LONG = {("astra", 1000, 32)}
"""Minutes, and nothing to learn: ASTRA works through a batch slice by slice."""

HEAD = ("back-end", "views", "batch", "x+y MiB", "A built", "A kept", "forward", "+gradient", "FBP")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=BACKENDS, default="cpu")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", nargs=3, metavar=("BACKEND", "VIEWS", "BATCH"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.one:
        backend, views, batch = given.one
        print(json.dumps(measure(backend, given.size, int(views), int(batch), torch.device(given.device))))
        return
    print(f"{given.size} × {given.size} on {given.device}; the last five as multiples of x + y, in float32")
    print("".join(f"{name:>12}" for name in HEAD))
    for backend in BACKENDS[given.device]:
        for views in VIEWS:
            for batch in BATCHES:
                if (backend, views, batch) not in TOO_LONG:
                    print_row(backend, views, batch, *ask(given, backend, views, batch))


def ask(given: argparse.Namespace, backend: str, views: int, batch: int) -> tuple[dict[str, float], str]:
    """What a fresh process measures, and what it stopped at."""
    command = [sys.executable, str(Path(__file__).resolve()), "--one", backend, str(views), str(batch)]
    command += [f"--{name}={getattr(given, name)}" for name in ("device", "size", "threads")]
    # By itself malloc raises this threshold as it goes and then keeps what is freed: some runs would show it, some not.
    quiet = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(command, capture_output=True, text=True, env=quiet)
    if done.returncode:
        return {}, (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    return json.loads(done.stdout.splitlines()[-1]), ""


def print_row(backend: str, views: int, batch: int, bytes_of: dict[str, float], trouble: str) -> None:
    row = f"{backend:>12}{views:12}{batch:12}"
    if trouble:
        print(f"{row}   left out: {trouble[:140]}")
        return
    tensors = bytes_of.pop("tensors")
    multiples = "".join(f"{taken / tensors:12.2f}" for taken in bytes_of.values())
    print(f"{row}{tensors / 2**20:12.1f}{multiples}")


def measure(backend: str, size: int, views: int, batch: int, device: torch.device) -> dict[str, float]:
    """Bytes: of x and y, of A while it is built and after, and at the peak of each operation."""
    for operation in operations(Projector(ParallelBeam(TINY, 4), backend, device), batch).values():
        operation()
    clear = clear_of(device)
    geometry = ParallelBeam(size, views)
    start = clear()
    A = Projector(geometry, backend, device)
    # What is made at first use counts as building.
    A.T(A(torch.zeros(1, 1, *A.image_shape, device=device)))
    built, kept = peak(device) - start, clear() - start
    found = {"built": built, "kept": kept}
    for name, operation in operations(A, batch).items():
        clear()
        operation()
        found[name] = peak(device) - start
    return {"tensors": 4.0 * batch * (size**2 + views * geometry.bins)} | found


def operations(A: Projector, batch: int) -> dict[str, Callable[[], object]]:
    def inputs() -> Tensor:
        return torch.rand(batch, 1, *A.image_shape, device=A.device)

    def gradient() -> None:
        x = inputs().requires_grad_()
        (A(x).square().sum() / 2).backward()

    def fbp() -> None:
        A.fbp(torch.rand(batch, 1, *A.sinogram_shape, device=A.device))

    return {"forward": lambda: A(inputs()), "gradient": gradient, "fbp": fbp}


def clear_of(device: torch.device) -> Callable[[], int]:
    """Gives back what is free, forgets the peak and returns the bytes in use."""

    def on_cuda() -> int:
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)

    def on_cpu() -> int:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        return resident("VmRSS")

    return on_cuda if device.type == "cuda" else on_cpu


def peak(device: torch.device) -> int:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device)
    return resident("VmHWM")


def resident(field: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()

"""The CUDA kernels where there is no GPU: they compile for one; what they compute is held to in the contract tests."""

import os
import subprocess
import sys

import pytest

COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from ctrobust.operators.backends.triton import PIXELS, RAYS, SLICES, _backproject, _project

rays = {"over_rows": "*i1", "start": "*i64", "slope": "*i64", "first": "*i64", "stop": "*i64"}
rays |= {"length": "*fp64", "sharpness": "*fp64"}
sizes = dict.fromkeys(("rows", "columns", "batch"), "i32")
for dtype in ("*fp32", "*fp64"):
    images = {"image": dtype, "sinogram": dtype}
    cases = [
        (_project, rays | images | {"count": "i32"} | sizes, {"RAYS": RAYS, "SLICES": SLICES}),
        (
            _backproject,
            {k: v for k, v in rays.items() if k not in ("first", "stop")}
            | {"shadow": "*fp64", "views": "i32", "bins": "i32", "reach": "fp32"}
            | images
            | sizes,
            {"CANDIDATES": 4, "PIXELS": PIXELS, "SLICES": SLICES},
        ),
    ]
    for kernel, types, constants in cases:
        signature = {name: types.get(name, "constexpr") for name in kernel.arg_names}
        for capability in (75, 90):
            source = ASTSource(kernel, signature, constants)
            compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32))
            assert len(compiled.asm["cubin"]) > 1000
print("compiled")
"""


def test_kernels_compile_for_a_gpu() -> None:
    pytest.importorskip("triton", reason="triton has no wheel for this platform")
    # Outside the interpreter that the other tests run Triton in.
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "compiled", done.stderr[-2000:]

"""Device, precision and processes, by Lightning Fabric."""

import logging
import os
import shutil

import torch
from lightning_fabric import Fabric

from ctrobust.core.errors import UserError
from ctrobust.recipes.schema import Precision


def make_fabric(precision: Precision) -> Fabric:
    """A launched Fabric: CUDA where there is one, else the CPU; as many processes as torchrun started."""
    # Fabric announces its precision; the recipe in the run folder says it already.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    on_gpu = torch.cuda.is_available()
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if on_gpu and local > torch.cuda.device_count():
        raise UserError(
            f"{local} processes were started, but {torch.cuda.device_count()} GPUs are visible; start one a GPU, "
            "or hide the GPUs with CUDA_VISIBLE_DEVICES="
        )
    fabric = Fabric(
        accelerator="cuda" if on_gpu else "cpu",
        devices=local,
        num_nodes=int(os.environ.get("WORLD_SIZE", "1")) // local,
        strategy="auto" if local == 1 else "ddp",
        precision="bf16-mixed" if precision == "bf16" else "32-true",
    )
    if "LT_CLI_USED" not in os.environ:  # `fabric run` has launched it already
        fabric.launch()
    # In training; every attack and every judgement turns it off again (threat.ascent.exact_arithmetic).
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    return fabric


def require_compiler(device: str) -> None:
    """What torch.compile hands its C++ to on a CPU. Raises UserError where it is not there."""
    compiler = (os.environ.get("CXX") or "g++").split()[0]
    if device == "cpu" and shutil.which(compiler) is None:
        raise UserError(
            f"train.compile needs a C++ compiler on a CPU, and {compiler} is not there; leave it false"
        )


def resolve_precision(precision: Precision) -> Precision:
    """`auto`: bf16 where the processor multiplies in it, else fp32."""
    if precision != "auto":
        return precision
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if _cpu_multiplies_bf16() else "fp32"


def _cpu_multiplies_bf16() -> bool:
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))

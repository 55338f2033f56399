"""Say what is installed, which back-ends of A work, and what to do about the rest. Exit 1 if 'auto' does not work."""

import argparse
import importlib
import os
import re
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctrobust.operators.examination import Examination

NEEDED = (
    *("numpy", "scipy", "torch", "h5py", "pydicom", "PyYAML", "pydantic", "lightning-fabric", "matplotlib"),
    *("jinja2", "scikit-image", "platformdirs", "tqdm", "isal", "safetensors", "tensorboardx", "click"),
)
"""Without one of these some command fails."""
FOR_BACKENDS = ("numba", "triton", "astra-toolbox")
FOR_CODECS = (
    *("pillow", "pylibjpeg", "pylibjpeg-libjpeg", "pylibjpeg-openjpeg", "pylibjpeg-rle", "pyjpegls"),
    "python-gdcm",
)
MODULES = {
    "PyYAML": "yaml",
    "lightning-fabric": "lightning_fabric",
    "scikit-image": "skimage",
    "tensorboardx": "tensorboardX",
    "astra-toolbox": "astra",
    "pillow": "PIL",
    "pylibjpeg-libjpeg": "libjpeg",
    "pylibjpeg-openjpeg": "openjpeg",
    "pylibjpeg-rle": "rle",
    "pyjpegls": "jpeg_ls",
    "python-gdcm": "gdcm",
}
"""What a distribution is imported as, where that is not its name."""

CUDA_12 = "`pip install nvidia-cuda-runtime-cu12 nvidia-cufft-cu12`"
CURES = {
    r"unknown projector|use_cuda": f"this ASTRA has no CUDA; with an NVIDIA driver, {CUDA_12}; 'auto' needs neither",
    r"libcudart|libcufft|libnvJitLink": f"CUDA's libraries are missing, which ASTRA wants on a CPU too: {CUDA_12}",
    r"no locator available": "set NUMBA_CACHE_DIR to a folder you may write to: numba keeps there what it compiles",
    r"needs numpy|compiled using numpy|numpy\.dtype size": "`pip install --upgrade numba numpy`: they do not fit",
    r"C compiler": "Triton needs a C compiler: install one, such as gcc, or name it in CC, or take backend 'matrix'",
    r"no kernel image": "this PyTorch was not built for this GPU: see https://pytorch.org/get-started",
    r"out of memory": "other programs hold the GPU's memory: nvidia-smi names them",
    r"GLIBC": "the wheel is too new for this system's C library: install an older version of the package",
}
"""What is found in a message → what to do."""
ABSENT = {
    "triton": "comes with PyTorch's CUDA builds; a CPU needs none",
    "astra": "`pip install astra-toolbox` (no wheel for macOS, nor for ARM), or do without: numba serves 'auto' too",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """`ctrobust doctor` takes no arguments."""


def run(arguments: argparse.Namespace) -> int:
    """Print one section after the other; what is to be mended and the verdict come last."""
    # For tests: interpreted, these checks would take minutes. Read when Triton is first imported.
    os.environ.pop("TRITON_INTERPRET", None)
    troubles: list[str] = []
    _print("versions", _versions(troubles))
    _print("devices", _devices())
    _print("back-ends", _backends(troubles))
    _print("codecs", _codecs())
    _print("cache", _cache())
    if troubles:
        _print("to mend", iter(troubles))
    print(f"verdict: the default path {'does not work' if troubles else 'works'}")
    return 1 if troubles else 0


def _print(title: str, section: Iterator[str]) -> None:
    print(title)
    for line in _to_the_end(section):
        print(f"  {line}", flush=True)


def _to_the_end(section: Iterator[str]) -> Iterator[str]:
    """A broken package is what one came to hear of: its error is the section's last line."""
    try:
        yield from section
    except Exception as trouble:
        yield _said(trouble)


def _versions(troubles: list[str]) -> Iterator[str]:
    from ctrobust.core.provenance import provenance

    born = provenance(seed=0, device="cpu", threads=1)
    yield f"{'ctrobust':18}{born['version']}, commit {born['commit'] or 'unknown'}"
    yield f"{'python':18}{born['python']}, {born['machine']}"
    for distribution in (*NEEDED, *FOR_BACKENDS):
        found, said = _package(distribution)
        yield f"{distribution:18}{said}"
        if not found and distribution in NEEDED:
            troubles.append(f"{distribution}: {said}")


def _package(distribution: str) -> tuple[bool, str]:
    """Whether it can be imported, and its version or why not."""
    try:
        module = importlib.import_module(MODULES.get(distribution, distribution))
    except Exception as trouble:
        return False, _said(trouble, distribution)
    return True, _version(distribution) or str(getattr(module, "__version__", "of unknown version"))


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _devices() -> Iterator[str]:
    import torch

    yield f"CPU   {os.cpu_count()} cores, of which PyTorch takes {torch.get_num_threads()}"
    if not torch.cuda.is_available():
        yield f"CUDA  none: {_why_no_cuda()}"
        return
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        name = torch.cuda.get_device_name(index)
        yield f"CUDA  {index}: {name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free, CUDA {torch.version.cuda}"
    astra = sys.modules.get("astra")
    if astra is not None and not astra.use_cuda():
        yield f"CUDA  not seen by ASTRA, whatever PyTorch sees -> {CUDA_12}; 'auto' does not need it"


def _why_no_cuda() -> str:
    import torch

    if torch.version.cuda is None:
        driver = "there is an NVIDIA driver" if shutil.which("nvidia-smi") else "if there is an NVIDIA card"
        return f"this PyTorch is for the CPU -> {driver}: take a CUDA build, https://pytorch.org/get-started"
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return f"CUDA_VISIBLE_DEVICES is {chosen!r} -> unset it to see every card"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except Exception as trouble:
        return (
            f"{_words(trouble)} -> a card and a driver for CUDA {torch.version.cuda}; `nvidia-smi` shows them"
        )
    return "PyTorch does not say why -> `nvidia-smi` shows card and driver"


def _backends(troubles: list[str]) -> Iterator[str]:
    """Each on each device and kind of scan. What `auto` takes must work; the others are for information."""
    try:
        import torch

        import ctrobust.operators.examination  # noqa: F401
    except Exception as trouble:
        troubles.append(f"no back-end can be tried: {_said(trouble)}")
        raise
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        yield from _backends_on(device, troubles)


def _backends_on(device: str, troubles: list[str]) -> Iterator[str]:
    import torch

    from ctrobust.operators.backends import BACKENDS
    from ctrobust.operators.examination import SCANS, examine

    for name in (*BACKENDS, "auto"):
        rows: defaultdict[tuple[str, bool], list[str]] = defaultdict(list)
        for kind, scan in SCANS.items():
            examined = examine(name, scan, torch.device(device))
            rows[_row(name, examined), examined.works and examined.exact].append(kind)
        for (row, sound), kinds in rows.items():
            yield f"{name:12}{device:6}{', '.join(kinds):15}{row}"
            if name == "auto" and not sound:
                troubles.append(f"backend 'auto', {device}, {', '.join(kinds)}: {row}")


def _row(name: str, examined: "Examination") -> str:
    if isinstance(examined.trouble, ValueError):
        return f"not here: {_said(examined.trouble)}"
    if isinstance(examined.trouble, ImportError) and examined.backend == "auto":
        return "finds none that works -> `pip install numba` serves every device; the rows above say more"
    takes = f"takes {examined.backend}, which " if examined.backend != name else ""
    if examined.trouble is not None:
        return f"{takes}does not work: {_said(examined.trouble)}"
    matched = "matched" if examined.matched else "not matched"
    figures = f"adjoint gap {examined.adjoint_gap:.1e}, amplitude error {examined.amplitude_error:.2%}"
    if examined.works:
        return f"{takes}works, {matched}, {figures}"
    return f"{takes}is WRONG, {figures} -> do not use it; update its package, delete numba's cache, else report it"


def _codecs() -> Iterator[str]:
    from pydicom.pixels.decoders.base import get_decoder

    from ctrobust.ingest.codecs import CODECS, cure, reads

    for distribution in filter(_version, FOR_CODECS):
        yield f"{distribution:20}{_package(distribution)[1]}"
    for name, syntaxes in CODECS.items():
        lacking = [decoder for decoder in map(get_decoder, syntaxes) if not reads(decoder)]
        yield f"{name:20}{'no -> ' + cure(lacking[0]) if lacking else 'yes'}"


def _cache() -> Iterator[str]:
    from platformdirs import user_cache_path

    yield f"ctrobust  {_folder(user_cache_path('ctrobust'), '**/*')}"
    from ctrobust.operators.backends import march

    yield f"numba     {_folder(Path(march.project.stats.cache_path), '*.nb[ic]')}"


def _folder(path: Path, pattern: str) -> str:
    size = sum(file.stat().st_size for file in path.glob(pattern) if file.is_file())
    # Output goes into bug reports: no name of a person.
    shown = f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)
    return f"{shown}, {size / 1e6:.1f} MB"


def _said(trouble: Exception, distribution: str = "ctrobust") -> str:
    cure = _cure(trouble, distribution)
    return f"{_words(trouble)} -> {cure}" if cure else _words(trouble)


def _words(trouble: Exception) -> str:
    """The message on one line, in our words where a module is missing."""
    if isinstance(trouble, ModuleNotFoundError) and trouble.name:
        return f"{trouble.name} is absent"
    text = " ".join(str(trouble).split())[:300]
    return (
        text
        if isinstance(trouble, (ImportError, ValueError)) and text
        else f"{type(trouble).__name__}: {text}"
    )


def _cure(trouble: Exception, distribution: str) -> str:
    """What to do about a trouble with that distribution; empty where the message itself says it."""
    text = str(trouble)
    for pattern, cure in CURES.items():
        if re.search(pattern, text, re.IGNORECASE):
            return cure
    if isinstance(trouble, ValueError) or "pip install" in text:
        return ""
    if isinstance(trouble, ModuleNotFoundError) and trouble.name:
        module = trouble.name.split(".")[0]
        names = {module: name for name, module in MODULES.items()}
        return ABSENT.get(module, f"`pip install {names.get(module, module)}`")
    return f"`pip install --force-reinstall {distribution}`; if that does not help, report it"

"""How a result was born: versions, commit, device, threads."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import ctrobust


def provenance(*, seed: int, device: str, threads: int) -> dict[str, str | int | None]:
    """Plain values for a result file; `commit` is null for an installed package outside its repository."""
    return {
        "version": ctrobust.__version__,
        "commit": _commit(),
        "seed": seed,
        "device": device,
        "threads": threads,
        "python": platform.python_version(),
        "torch": _version("torch"),
        "astra": _version("astra-toolbox"),
        "numpy": _version("numpy"),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    root = Path(ctrobust.__file__).parent.parent
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", os.fspath(root), "describe", "--always", "--abbrev=40", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() or None
    except (OSError, subprocess.CalledProcessError):
        return None

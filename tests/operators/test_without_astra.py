"""ASTRA is one back-end among others: where it cannot be installed, everything else works as before."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Runs before anything else in an interpreter that finds it on its path.
SITE = "import sys; sys.modules['astra'] = None"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of a process that cannot import ASTRA."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITE)
    return os.environ | {"PYTHONPATH": str(tmp_path / "site"), "OMP_NUM_THREADS": "1"}


def python(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False
    )


def test_the_projector(environment: dict[str, str]) -> None:
    program = """
import ctrobust, torch
for scan in (ctrobust.ParallelBeam(16, 8), ctrobust.core.geometry.FanBeam(
        16, 8, source_to_iso_mm=40, iso_to_detector_mm=20)):
    A = ctrobust.Projector(scan)
    x = torch.ones(2, 1, 16, 16, requires_grad=True)
    A.fbp(A(x)).sum().backward()
    print(A.backend, A.matched, bool(x.grad.isfinite().all()))
"""
    answer = python(environment, "-c", program)
    assert answer.stdout.splitlines() == ["numba True True"] * 2, answer.stderr


def test_asked_for_it_says_how_to_get_it(environment: dict[str, str]) -> None:
    program = """
import ctrobust
for name in ("astra", "astra-cuda"):
    try:
        ctrobust.Projector(ctrobust.ParallelBeam(16, 8), name)
    except (ImportError, ValueError) as trouble:
        print(name, trouble)
"""
    answer = python(environment, "-c", program)
    said = dict(line.split(" ", 1) for line in answer.stdout.splitlines())
    assert set(said) == {"astra", "astra-cuda"}, answer.stderr
    assert "pip install astra-toolbox" in said["astra"]
    assert "'auto'" in said["astra"]


def test_a_study_from_beginning_to_end(environment: dict[str, str], tmp_path: Path) -> None:
    answer = python(environment, "-m", "ctrobust.cli", "train", "tiny", "--out", str(tmp_path / "run"))
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "run" / "result.json").exists()
    assert (tmp_path / "run" / "report.html").exists()

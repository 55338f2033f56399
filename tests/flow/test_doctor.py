"""`ctrobust doctor` as one meets it: on a sound installation, without a package, and with one that computes wrongly."""

import configparser
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ctrobust.cli import doctor
from ctrobust.cli.main import main
from ctrobust.core.geometry import Geometry
from ctrobust.ingest import codecs
from ctrobust.operators import examination
from ctrobust.operators.backends import BACKENDS
from ctrobust.operators.backends.matrix import MatrixBackend
from ctrobust.operators.backends.numba import NumbaBackend

REPOSITORY = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")

Doctor = Callable[..., tuple[int, str]]

# Runs before anything else in an interpreter that finds it on its path.
SITE = """
import sys
from importlib.abc import MetaPathFinder

for name in {absent!r}:
    sys.modules[name] = None

class Broken(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name in {broken!r}:
            raise OSError("libcudart.so.12: cannot open shared object file: No such file or directory")

sys.meta_path.insert(0, Broken())
"""


@pytest.fixture
def fresh(tmp_path: Path) -> Doctor:
    """`ctrobust doctor` in a process of its own, some packages absent or broken; its status and what it printed."""

    def examine(*, absent: tuple[str, ...] = (), broken: tuple[str, ...] = ()) -> tuple[int, str]:
        (tmp_path / "sitecustomize.py").write_text(SITE.format(absent=absent, broken=broken))
        environment = os.environ | {"PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
        answer = subprocess.run(
            [sys.executable, "-m", "ctrobust.cli", "doctor"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in answer.stdout + answer.stderr
        return answer.returncode, answer.stdout

    return examine


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Doctor:
    """`ctrobust doctor` in this process, with whatever a test has put in the place of its parts."""
    # The doctor takes it out of the environment; this puts it back.
    monkeypatch.setenv("TRITON_INTERPRET", os.environ.get("TRITON_INTERPRET", "0"))

    def examine() -> tuple[int, str]:
        return main(["doctor"]), capfd.readouterr().out

    return examine


def rows(said: str, name: str) -> list[str]:
    """The rows of that back-end, in the section of back-ends."""
    section = said.split("\nback-ends\n")[1].split("\ncodecs\n")[0]
    return [line.strip() for line in section.splitlines() if line.split()[0] == name]


def verdict(said: str) -> str:
    return said.splitlines()[-1]


def test_a_sound_installation(fresh: Doctor) -> None:
    status, said = fresh()
    assert status == 0
    assert verdict(said) == "verdict: the default path works"
    assert all(rows(said, name) for name in BACKENDS)
    for name in ("numba", "matrix", "auto"):
        found = rows(said, name)
        assert [row.split()[2] for row in found] == ["parallel", "fan"]
        for row in found:
            assert " works, matched, adjoint gap " in row
            assert float(re.search(r"gap (\S+),", row)[1]) < 1e-6
            assert 0 < float(re.search(r"error (\S+)%", row)[1]) < 1
    assert all("takes numba" in row for row in rows(said, "auto"))
    for word in ("ctrobust", "python", *doctor.NEEDED, *doctor.FOR_BACKENDS, "CPU", "CUDA", *codecs.CODECS):
        assert re.search(rf"^  {re.escape(word)}  ", said, re.MULTILINE), word
    assert re.search(r"^  ctrobust  .*, [\d.]+ MB$", said, re.MULTILINE)


@pytest.mark.parametrize("how", ["absent", "broken"])
def test_without_astra_the_default_path_works(fresh: Doctor, how: str) -> None:
    status, said = fresh(**{how: ("astra",)})
    assert status == 0
    assert re.search(r"^  astra-toolbox .*pip install (astra-toolbox|nvidia-cuda-runtime-cu12)", said, re.M)
    assert all("does not work" in row and "pip install" in row for row in rows(said, "astra"))
    assert all("takes numba, which works" in row for row in rows(said, "auto"))


def test_without_numba_astra_serves_the_default_path(fresh: Doctor) -> None:
    pytest.importorskip("astra", reason="astra-toolbox is absent: without numba nothing is left")
    status, said = fresh(absent=("numba",))
    assert status == 0
    assert all("numba is absent -> `pip install numba`" in row for row in rows(said, "numba"))
    assert len(rows(said, "auto")) == 2
    assert all("takes astra, which works" in row for row in rows(said, "auto"))


def test_without_any_backend_the_cure_is_named(fresh: Doctor) -> None:
    status, said = fresh(absent=("astra", "numba", "triton"))
    assert status == 1
    assert verdict(said) == "verdict: the default path does not work"
    mend = said.split("\nto mend\n")[1]
    assert "backend 'auto', cpu, parallel, fan" in mend
    assert "pip install numba" in mend


@pytest.mark.parametrize("package", ["torch", "pydicom"])
def test_without_what_every_command_needs(fresh: Doctor, package: str) -> None:
    status, said = fresh(absent=(package,))
    assert status == 1
    assert f"  {package}: {package} is absent -> `pip install {package}`" in said.split("\nto mend\n")[1]


def scaled(operator: Callable[..., torch.Tensor], factor: float) -> Callable[..., torch.Tensor]:
    return lambda self, batch: factor * operator(self, batch)


def test_a_wrong_transpose_is_found(here: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """By one part in a thousand, which no picture would show."""
    monkeypatch.setattr(NumbaBackend, "adjoint", scaled(NumbaBackend.adjoint, 1.001))
    status, said = here()
    assert status == 1
    assert all(" is WRONG, " in row for row in rows(said, "numba") + rows(said, "auto"))
    assert "backend 'auto', cpu, parallel: takes numba, which is WRONG" in said.split("\nto mend\n")[1]


def test_a_wrong_amplitude_is_found(here: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an operator whose transpose is exact."""
    for way in ("forward", "adjoint"):
        monkeypatch.setattr(NumbaBackend, way, scaled(getattr(NumbaBackend, way), 1.01))
    status, said = here()
    assert status == 1
    assert all(" is WRONG, " in row for row in rows(said, "auto"))


def test_a_backend_that_is_wrong_but_not_taken(here: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MatrixBackend, "adjoint", scaled(MatrixBackend.adjoint, 1.001))
    status, said = here()
    assert status == 0
    assert all(" is WRONG, " in row for row in rows(said, "matrix"))


def test_a_gpu_that_only_pytorch_sees(here: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    astra = pytest.importorskip("astra", reason="astra-toolbox is absent: it cannot disagree")
    if astra.use_cuda():
        pytest.skip("ASTRA sees CUDA here")
    for name, answer in {
        "is_available": True,
        "device_count": 1,
        "get_device_name": "A card",
        "mem_get_info": (3 * 2**30, 4 * 2**30),
    }.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, answer=answer: answer)
    status, said = here()
    assert "CUDA  0: A card, 3.0 of 4.0 GiB free" in said
    assert "not seen by ASTRA, whatever PyTorch sees -> `pip install nvidia-cuda-runtime-cu12" in said
    assert {row.split()[1] for row in rows(said, "auto")} == {"cpu", "cuda"}
    assert not any(" works, " in row for row in rows(said, "astra-cuda"))
    if torch.version.cuda is None:  # a card that is not there computes nothing
        assert status == 1
        assert "backend 'auto', cuda" in said.split("\nto mend\n")[1]


def test_when_no_backend_can_even_be_tried(here: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ctrobust.operators.examination", None)
    status, said = here()
    assert status == 1
    assert "no back-end can be tried" in said.split("\nto mend\n")[1]


@pytest.mark.parametrize("kind", examination.SCANS)
@pytest.mark.parametrize("dims", [(-1,), (-2,), (-2, -1)])
def test_a_mirrored_image_is_found(kind: str, dims: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    forward, adjoint = NumbaBackend.forward, NumbaBackend.adjoint
    monkeypatch.setattr(NumbaBackend, "forward", lambda self, x: forward(self, x.flip(dims)))
    monkeypatch.setattr(NumbaBackend, "adjoint", lambda self, y: adjoint(self, y).flip(dims))
    examined = examination.examine("numba", examination.SCANS[kind], CPU)
    assert examined.exact
    assert examined.amplitude_error > 0.1
    assert not examined.works


@pytest.mark.parametrize("scan", examination.SCANS.values(), ids=examination.SCANS)
def test_an_unmatched_backend_works_and_is_not_exact(scan: Geometry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NumbaBackend, "matched", False)
    monkeypatch.setattr(NumbaBackend, "adjoint", scaled(NumbaBackend.adjoint, 1.001))
    examined = examination.examine("numba", scan, CPU)
    assert examined.works
    assert not examined.exact


def test_nan_is_not_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NumbaBackend, "forward", scaled(NumbaBackend.forward, float("nan")))
    examined = examination.examine("numba", examination.SCANS["parallel"], CPU)
    assert not examined.works
    assert not examined.exact


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (RuntimeError("Unknown Projector2D"), "this ASTRA has no CUDA"),
        (RuntimeError("Error: unknown projector 'cuda'"), "this ASTRA has no CUDA"),
        (ImportError("libcudart.so.12: cannot open"), "pip install nvidia-cuda-runtime-cu12"),
        (RuntimeError("cannot cache function: no locator available"), "NUMBA_CACHE_DIR"),
        (RuntimeError("Failed to find C compiler."), "gcc"),
        (ImportError("Numba needs NumPy 2.3 or less"), "--upgrade numba numpy"),
        (ModuleNotFoundError("No module named 'skimage'", name="skimage.a"), "`pip install scikit-image`"),
        (ImportError("undefined symbol: f"), "--force-reinstall numba"),
    ],
)
def test_a_trouble_comes_with_its_cure(trouble: Exception, words: str) -> None:
    assert words in doctor._said(trouble, "numba").split(" -> ")[1]


def test_a_message_that_says_the_cure_stands_alone() -> None:
    message = "device 'cuda': computes on the CPU; take 'auto'"
    assert doctor._said(ValueError(message)) == message


def test_pillow_alone_does_not_read_12_bits() -> None:
    """pydicom counts it among the decoders; asked to decode, it refuses."""
    (twelve,), (eight,) = codecs.CODECS["JPEG, 12 bits"], codecs.CODECS["JPEG, 8 bits"]
    lacking = [
        "gdcm - requires gdcm>=3.0.10",
        "pylibjpeg - requires pylibjpeg>=2.0 and pylibjpeg-libjpeg>=2.1",
    ]
    parts = {"is_available": True, "available_plugins": ("pillow",), "missing_dependencies": lacking}
    assert codecs.reads(SimpleNamespace(UID=eight, **parts))
    assert not codecs.reads(SimpleNamespace(UID=twelve, **parts))
    assert codecs.reads(SimpleNamespace(UID=twelve, **(parts | {"available_plugins": ("gdcm", "pillow")})))
    cure = codecs.cure(SimpleNamespace(UID=twelve, **parts))
    assert cure == "`pip install 'pylibjpeg>=2.0' 'pylibjpeg-libjpeg>=2.1'`"


def test_every_requirement_is_looked_at() -> None:
    settings = configparser.ConfigParser()
    settings.read(REPOSITORY / "setup.cfg")
    lines = settings["options"]["install_requires"].split("\n")
    required = {re.match(r"[\w-]+", line)[0].lower() for line in lines if re.match(r"\w", line)}
    known = {name.lower() for name in (*doctor.NEEDED, *doctor.FOR_BACKENDS, *doctor.FOR_CODECS)}
    assert required <= known

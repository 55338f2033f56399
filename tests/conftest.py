"""What every room's tests share: the data beside the repository, and a configuration folder of their own."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Two test workers on two cores: more threads than that only wait for one another. Read when torch is first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# The suite is about the CPU; the promises of equal bits hold there.
os.environ["CUDA_VISIBLE_DEVICES"] = ""
# Triton's kernels are run step by step on the CPU. Read when a kernel is defined.
os.environ["TRITON_INTERPRET"] = "1"

# A job in the background inherits a Ctrl-C that is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """`shared("ct")`: a folder of the data beside the repository; the test is skipped where it is absent."""
    root = Path(os.environ.get("CTROBUST_SHARED", REPOSITORY.parent / "shared"))

    def folder(name: str) -> Path:
        if not (root / name).is_dir():
            pytest.skip(f"{root / name} is absent; name the folder that holds it in CTROBUST_SHARED")
        return root / name

    return folder


@pytest.fixture(autouse=True, scope="session")
def _own_configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test makes or uses the pseudonym key of whoever runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield

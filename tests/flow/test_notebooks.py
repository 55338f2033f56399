"""The notebooks are stored bare, and each runs by itself from a new folder, with a picture in every section."""

import os
import resource
import shutil
import sys
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SECONDS_ALLOWED = 180
"""Of one core for a whole notebook, the commands it calls included: with two it is never longer by the clock."""
SECONDS_A_CELL = 600
"""By the clock, of a machine that has more to do: beyond it hangs."""

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])


def test_the_index_names_every_notebook() -> None:
    index = (FOLDER / "README.md").read_text()
    assert [path.stem[:2] for path in NOTEBOOKS] == [f"{number:02d}" for number in range(1, 9)]
    assert [path.name for path in NOTEBOOKS if f"({path.name})" not in index] == []


@each
def test_stored_without_outputs_and_in_order(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
            compile(TransformerManager().transform_cell(cell.source), cell.id, "exec")


def spent() -> float:
    """Seconds of processor that ended processes begun here have taken, and what they began in turn."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.soak
@each
def test_runs_alone_and_shows(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a fresh checkout: nothing of another notebook is there. Commands are those of this environment."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for file in (path, FOLDER / "teaching.yaml"):
        shutil.copy(file, tmp_path)
    notebook = nbformat.read(path, as_version=4)
    before = spent()
    NotebookClient(
        notebook, timeout=SECONDS_A_CELL, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert 1 < spent() - before < SECONDS_ALLOWED, spent() - before
    pictures: dict[str, int] = {}
    for cell in notebook.cells:
        if cell.source.startswith("## "):
            section = cell.source.splitlines()[0]
            pictures[section] = 0
        for output in cell.get("outputs", []):
            pictures[section] += "image/png" in output.get("data", {})
    assert [section for section, count in pictures.items() if not count] == []

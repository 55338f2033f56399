"""The mistakes one makes first: one line each, exit 2, and nothing already there is lost."""

from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
from out_of_memory import each_way

from ctrobust import study
from ctrobust.cli.main import main

FILES = {"notes.txt": "not mine", "results/old.txt": "precious"}


@pytest.fixture
def desk(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder with things in it."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "store.h5").write_bytes(store.read_bytes())
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["data"] = [1, 2, 3]
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.yaml").write_text("train: [")
    (tmp_path / "broken.json").write_text("{")
    monkeypatch.chdir(tmp_path)
    return tmp_path


MISTAKES = {
    "no verb": ([], "COMMAND"),
    "unknown verb": (["trian"], "trian"),
    "no recipe": (["train"], "recipe"),
    "misspelt recipe": (["train", "dmeo"], "did you mean demo"),
    "recipe file missing": (["train", "mine.yaml"], "mine.yaml"),
    "recipe file broken": (["train", "broken.yaml"], "broken.yaml"),
    "misspelt key": (["train", "tiny", "train.stpes=3"], "train.steps"),
    "wrong type": (["train", "tiny", "train.steps=lots"], "train.steps"),
    "unknown option": (["train", "tiny", "--gpu"], "--gpu"),
    "store missing": (["train", "tiny", "--data", "nope.h5"], "nope.h5"),
    "store not HDF5": (["train", "tiny", "--data", "notes.txt"], "notes.txt"),
    "store not ours": (["train", "tiny", "--data", "foreign.h5"], "foreign.h5"),
    "split missing": (["train", "tiny", "--data", "store.h5", "--split", "nope.json"], "nope.json"),
    "split broken": (["train", "tiny", "--data", "store.h5", "--split", "broken.json"], "broken.json"),
    "out exists": (["train", "tiny", "--out", "results"], "results"),
    "out exists, file": (["train", "tiny", "--out", "notes.txt"], "notes.txt"),
    "image too small": (["train", "tiny", "--data", "store.h5", "network.levels=7"], "network.levels"),
    "resume in a foreign folder": (
        ["train", "tiny", "--data", "store.h5", "--out", "results", "--resume"],
        "results",
    ),
    "resume in a file": (
        ["train", "tiny", "--data", "store.h5", "--out", "notes.txt", "--resume"],
        "notes.txt",
    ),
    "out cannot be made": (["train", "tiny", "--data", "store.h5", "--out", "notes.txt/run"], "notes.txt"),
    "pixels differ, not resampled": (
        ["train", "tiny", "--data", "store.h5", "data.resample=false"],
        "resampl",
    ),
    "ingest: no folder": (["ingest", "nope", "--out", "new.h5"], "nope"),
    "ingest: no DICOM": (["ingest", "results", "--out", "new.h5"], "results"),
    "ingest: empty": (["ingest", "empty", "--out", "new.h5"], "empty"),
    "ingest: out is no store": (["ingest", "results", "--out", "notes.txt"], "notes.txt"),
    "ingest: log over the store": (["ingest", "results", "--out", "n.h5", "--log", "n.h5"], "n.h5"),
    "ingest: paths over the JSON": (
        ["ingest", "results", "--out", "n.h5", "--log", "n.ingest.json"],
        "n.ingest.json",
    ),
    "ingest: no out": (["ingest", "results"], "--out"),
    "split: fraction": (["split", "store.h5", "--eval", "1.5", "--out", "s.json"], "--eval"),
    "split: out exists": (["split", "store.h5", "--eval", "0.2", "--out", "notes.txt"], "notes.txt"),
    "evaluate: no run": (["evaluate", "nope"], "nope"),
    "evaluate: not a run": (["evaluate", "results"], "results"),
    "evaluate: radii": (["evaluate", "results", "--eps", "a,b"], "--eps"),
    "evaluate: no radius": (["evaluate", "results", "--eps", "0,nan"], "--eps"),
    "report: no run": (["report", "nope", "--out", "page"], "nope"),
    "report: not a run": (["report", "results", "--out", "page"], "results"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_one_line_exit_2_and_nothing_lost(
    mistake: str, desk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments, named = MISTAKES[mistake]
    before = {path.relative_to(desk): path.read_bytes() for path in desk.rglob("*") if path.is_file()}
    try:
        status = main(arguments)
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    said = [
        line for line in capfd.readouterr().err.splitlines() if not line.startswith(("headers:", "slices:"))
    ]
    assert len(said) == 1, said
    assert named in said[0]
    assert "Traceback" not in said[0]
    after = {path.relative_to(desk): path.read_bytes() for path in desk.rglob("*") if path.is_file()}
    assert after == before


@each_way
@pytest.mark.parametrize("where", ["open_experiment", "train_run", "_evaluate", "write_report"])
def test_out_of_memory_outside_a_step_is_one_line(
    where: str, happen: Callable[[], object], desk: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    for stage in ("train_run", "_evaluate", "write_report"):
        monkeypatch.setattr(study, stage, lambda *_: None)
    monkeypatch.setattr(study, where, lambda *_, **__: happen())
    assert main(["train", "tiny", "--data", "store.h5"]) == 2
    said = "ctrobust train: out of memory; lower evaluate.batch_size, train.batch_size, network.base_channels"
    assert capsys.readouterr().err.startswith(said)


def test_an_error_of_ours_is_not_dressed_up(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: object, **__: object) -> None:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(study, "open_experiment", wrong)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        main(["train", "tiny", "--data", "store.h5"])

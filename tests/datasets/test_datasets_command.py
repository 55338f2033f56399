"""`python -m ctrobust_datasets`: from a folder to a store and its account, or one line and exit 2."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ctrobust_datasets.__main__ import LAYOUTS, main

from ctrobust.store import Store

HU = np.linspace(-1000, 2000, 400).reshape(20, 20)


def ends(arguments: list[str]) -> int:
    try:
        return main(arguments)
    except SystemExit as end:
        return int(end.code or 0)


def test_a_folder_becomes_a_store_and_every_file_is_accounted(tmp_path: Path) -> None:
    for patient in ("Doe", "Roe"):
        (tmp_path / "data" / patient).mkdir(parents=True)
        np.save(tmp_path / "data" / patient / "scan.npy", np.stack([HU, HU + len(patient) + ord(patient[0])]))
    (tmp_path / "data" / "readme.txt").write_text("x")
    command = ["npy", "data", "--pixel-mm", "0.7", "--out", "store.h5", "--size", "16"]
    ran = subprocess.run(
        [sys.executable, "-m", "ctrobust_datasets", *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "store.h5: 4 slices, 2 patients" in ran.stdout
    assert "refused, not a NumPy file (.npy): 1\n  data/readme.txt\n" in ran.stdout
    with Store(tmp_path / "store.h5") as store:
        assert (len(store), store.image_shape, len(set(store.patients))) == (4, (16, 16), 2)
        assert store.pixel_mm[0] == pytest.approx(0.7 * 20 / 16)
        assert store.image(0).mean() == pytest.approx(HU.mean(), rel=1e-5)
    assert b"Doe" not in (tmp_path / "store.h5").read_bytes()


def test_slices_of_two_sizes_need_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "a.npy", HU)
    np.save(tmp_path / "b.npy", HU[:18])
    given = ["npy", str(tmp_path), "--pixel-mm", "0.7", "--out", str(tmp_path / "store.h5")]
    assert ends(given) == 2
    assert "18x20" in capsys.readouterr().err
    assert not (tmp_path / "store.h5").exists()
    assert ends([*given, "--size", "16"]) == 0


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["npz", "data"], "npz"),
        (["mnist", "data"], "digits"),
        (["npy", "data", "--out", "new.h5"], "--pixel-mm"),
        (["npy", "absent", "--pixel-mm", "1", "--out", "new.h5"], "absent: no such folder"),
        (["npy", "data", "--pixel-mm", "1", "--out", "new.h5", "--size", "8"], "--size 8"),
        (["npy", "data", "--pixel-mm", "1", "--out", "there.h5"], "exists already"),
        (["npy", "bad", "--pixel-mm", "1", "--out", "new.h5"], "no file could be taken"),
        (["npy", "data", "--pixel-mm", "1", "--out", "new.h5", "--table", "none.csv"], "none.csv"),
        (["raster", "data", "--pixel-mm", "1", "--out", "new.h5"], "--window"),
    ],
)
def test_a_mistake_is_one_line_and_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    match: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("data", "bad"):
        Path(folder).mkdir()
    np.save("data/a.npy", HU)
    np.save("bad/a.npy", HU / 3000)
    Path("there.h5").touch()
    assert ends(arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "ctrobust_datasets" in line]
    assert len(lines) == 1
    assert match in lines[0]
    assert not Path("new.h5").exists()


def test_a_store_that_is_there_is_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data" / "a.npy", HU)
    given = ["npy", str(tmp_path / "data"), "--pixel-mm", "0.7", "--out", str(tmp_path / "store.h5")]
    assert ends(given) == 0
    before = (tmp_path / "store.h5").read_bytes()
    np.save(tmp_path / "data" / "b.npy", HU + 1)
    assert ends(given) == 2
    assert "nothing is added to it" in capsys.readouterr().err
    assert (tmp_path / "store.h5").read_bytes() == before


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_has_its_help(layout: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ends([layout, "--help"]) == 0
    assert "--out" in capsys.readouterr().out


@pytest.mark.parametrize("layout", [*LAYOUTS, "tcia", "mnist", "celeba"])
def test_every_layout_has_its_card(layout: str) -> None:
    card = Path(__file__).resolve().parents[2] / "datasets" / layout / "README.md"
    for title in ("Where it comes from", "Licence", "On disk", "Prepare", "Traps"):
        assert f"## {title}" in card.read_text(encoding="utf-8")

"""The same folder again: what is new is added, nothing else changes, and no kill leaves a store in between."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from dicom_files import write_ct

from ctrobust.cli.main import main
from ctrobust.store import Store


def ingest(folder: Path, out: Path, *more: str) -> int:
    return main(["ingest", str(folder), "--out", str(out), *more])


@pytest.fixture
def folder(tmp_path):
    for i in range(3):
        write_ct(
            tmp_path / "in" / f"{i}", PatientID="A", ImagePositionPatient=[0, 0, i], SOPInstanceUID=f"1.2.{i}"
        )
    (tmp_path / "in" / "note").write_text("not an image")
    return tmp_path / "in"


@pytest.fixture
def out(folder, tmp_path):
    assert ingest(folder, tmp_path / "a.h5") == 0
    return tmp_path / "a.h5"


def content(path):
    with Store(path) as store:
        images = [store.image(i) for i in range(len(store))]
        return store.patients, store.series, store.source_sha256, store.position_mm.tolist(), images


def test_the_same_folder_changes_nothing(folder, out, capsys):
    before, account = out.read_bytes(), out.with_name("a.ingest.json").read_bytes()
    capsys.readouterr()
    assert ingest(folder, out) == 0
    assert "0 slices of 0 patients, 3 were there before" in capsys.readouterr().out
    assert out.read_bytes() == before
    assert out.with_name("a.ingest.json").read_bytes() == account


def test_what_is_new_is_added_at_the_end(folder, out, capsys):
    old = content(out)
    write_ct(
        folder / "00-first-by-name", PatientID="A", ImagePositionPatient=[0, 0, -7.5], SOPInstanceUID="1.2.9"
    )
    write_ct(folder / "other", PatientID="B", SeriesInstanceUID="1.9.9", ImagePositionPatient=[0, 0, 4])
    (folder / "note2").write_text("neither is this")
    assert ingest(folder, out) == 0
    assert "2 slices of 2 patients, 3 were there before" in capsys.readouterr().out
    new = content(out)
    for before, now in zip(old, new, strict=True):
        np.testing.assert_array_equal(before, now[:3])
    assert len(new[0]) == 5
    assert new[0][0] in new[0][3:]  # the same patient keeps the name
    account = json.loads(out.with_name("a.ingest.json").read_text())
    assert [entry["sha256"] for entry in account["taken"]] == list(new[2])
    assert len(account["refused"]) == 2
    again = out.read_bytes()
    assert ingest(folder, out) == 0
    assert out.read_bytes() == again


def test_the_account_remembers_what_was_refused_elsewhere(folder, out, tmp_path):
    other = tmp_path / "second"
    write_ct(other / "b", PatientID="B", SeriesInstanceUID="1.9.9")
    (other / "text").write_text("something else")
    assert ingest(other, out) == 0
    account = json.loads(out.with_name("a.ingest.json").read_text())
    assert len(account["taken"]) == 4
    assert len(account["refused"]) == 2


def test_a_better_copy_of_what_is_there_stays_out(folder, out, capsys):
    """The store's own slices are not changed, nor doubled."""
    before = content(out)
    write_ct(folder / "copy", PatientID="A", ImagePositionPatient=[0, 0, 1], SOPInstanceUID="1.2.77")
    assert ingest(folder, out) == 0
    assert "another slice at its position in its series is in the store: 1" in capsys.readouterr().out
    for a, b in zip(before, content(out), strict=True):
        np.testing.assert_array_equal(a, b)


def test_another_size_is_refused_with_the_cure(folder, out, capsys):
    before = out.read_bytes()
    write_ct(folder / "large", PatientID="C", SeriesInstanceUID="1.8", stored=np.ones((40, 40), np.int16))
    assert ingest(folder, out) == 0
    assert "40x40 pixels while the store has" in capsys.readouterr().out
    assert out.read_bytes() == before
    assert ingest(folder, out, "--size", "64") == 0
    assert "64x64 pixels while the store has" in capsys.readouterr().out
    assert out.read_bytes() == before


def test_another_key_is_refused(folder, out, tmp_path, capsys):
    before = out.read_bytes()
    write_ct(folder / "other", PatientID="B", SeriesInstanceUID="1.9.9")
    assert ingest(folder, out, "--key", str(tmp_path / "other.key")) == 2
    assert "made with another key" in capsys.readouterr().err.splitlines()[-1]
    assert out.read_bytes() == before
    with Store(out) as store:
        assert store.key_id.encode() in before
        assert len(store.key_id) == 12


def test_a_dry_run_says_all_and_writes_nothing(folder, tmp_path, capsys):
    before = sorted(tmp_path.rglob("*"))
    assert ingest(folder, tmp_path / "a.h5", "--dry-run") == 0
    dry = capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == before
    assert "3 slices of 1 patients, none written (dry run)" in dry
    assert ingest(folder, tmp_path / "a.h5") == 0
    assert capsys.readouterr().out == dry.replace(", none written (dry run)", "")


def test_burned_in_annotation_is_refused_unless_asked_for(folder, tmp_path, capsys):
    write_ct(folder / "burned", PatientID="B", SeriesInstanceUID="1.9.9", BurnedInAnnotation="YES")
    assert ingest(folder, tmp_path / "a.h5") == 0
    assert "burned into its pixels; --take-burned-in" in capsys.readouterr().out
    assert ingest(folder, tmp_path / "b.h5", "--take-burned-in") == 0
    assert (len(Store(tmp_path / "a.h5")), len(Store(tmp_path / "b.h5"))) == (3, 4)


def test_pixel_size_by_option(folder, tmp_path, capsys):
    assert ingest(folder, tmp_path / "a.h5", "--pixel-mm", "0.25") == 0
    with Store(tmp_path / "a.h5") as store:
        np.testing.assert_allclose(store.pixel_mm, 0.25)
    assert ingest(folder, tmp_path / "b.h5", "--pixel-mm", "-1") == 2
    assert len(capsys.readouterr().err.splitlines()[-1]) > 20


def series_of(store):
    return json.loads(store.with_name(f"{store.stem}.ingest.json").read_text())["series"]


def test_series_with_gaps_are_said_or_refused(folder, tmp_path, capsys):
    for i in (8, 9):
        write_ct(folder / f"{i}", PatientID="A", ImagePositionPatient=[0, 0, i], SOPInstanceUID=f"1.2.{i}")
    assert ingest(folder, tmp_path / "a.h5") == 0
    assert "1 gap" in capsys.readouterr().out
    expected = {"spacing_mm": 1.0, "gaps": [[2.0, 8.0]], "variable": False, "tilt_deg": 0.0}
    (name,) = series_of(tmp_path / "a.h5")
    assert series_of(tmp_path / "a.h5") == {name: expected}
    # What another folder says nothing of stays; what is said again is put right.
    write_ct(tmp_path / "other" / "z", PatientID="B", SeriesInstanceUID="1.9.9")
    assert ingest(tmp_path / "other", tmp_path / "a.h5") == 0
    assert series_of(tmp_path / "a.h5")[name] == expected
    assert len(series_of(tmp_path / "a.h5")) == 2
    assert ingest(folder, tmp_path / "b.h5", "--refuse-gaps") == 2
    assert "has gaps, refused by option" in capsys.readouterr().err


def interrupted(folder: Path, out: Path, after_s: float, how: int) -> None:
    command = [sys.executable, "-m", "ctrobust.cli", "ingest", str(folder), "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(after_s)
    process.send_signal(how)
    process.wait()


def kills(tmp_path: Path, count: int, seed: int) -> None:
    """Kill an ingest that adds 40 slices to a store of 40, at random moments; then let one finish."""
    draw = random.Random(seed)
    for i in range(80):
        image = np.random.default_rng(i).integers(0, 2000, (96, 96)).astype(np.int16)
        for name in ("all", "first") if i < 40 else ("all",):
            write_ct(
                tmp_path / name / f"{i}", stored=image, PatientID=f"P{i % 5}", SeriesInstanceUID=f"1.{i % 5 + 1}",
                SOPInstanceUID=f"1.2.{i}", ImagePositionPatient=[0, 0, i],
            )  # fmt: skip
    out = tmp_path / "a.h5"
    assert ingest(tmp_path / "first", out) == 0
    before = out.read_bytes()
    begin = time.monotonic()
    whole = tmp_path / "whole.h5"
    whole.write_bytes(before)
    subprocess.run(
        [sys.executable, "-m", "ctrobust.cli", "ingest", str(tmp_path / "all"), "--out", str(whole)],
        check=True,
        capture_output=True,
    )
    seconds, complete = time.monotonic() - begin, whole.read_bytes()
    for _ in range(count):
        out.write_bytes(before)
        interrupted(tmp_path / "all", out, draw.uniform(0.3, 1.1) * seconds, signal.SIGKILL)
        assert out.read_bytes() in (before, complete)
        assert ingest(tmp_path / "all", out) == 0
        assert out.read_bytes() == complete
        leftovers = [path for path in tmp_path.iterdir() if path.name.endswith(".part")]
        assert not leftovers


def test_killed_while_adding(tmp_path):
    kills(tmp_path, 3, 0)


@pytest.mark.soak
def test_killed_while_adding_twenty_times(tmp_path):
    kills(tmp_path, 20, 1)


@pytest.mark.skipif(os.name == "nt", reason="no SIGTERM to send there")
def test_terminated_leaves_nothing_behind(tmp_path):
    for i in range(60):
        image = np.random.default_rng(i).integers(0, 2000, (256, 256)).astype(np.int16)
        write_ct(
            tmp_path / "in" / f"{i}", stored=image, SOPInstanceUID=f"1.{i}", ImagePositionPatient=[0, 0, i]
        )
    out = tmp_path / "a.h5"
    command = [sys.executable, "-m", "ctrobust.cli", "ingest", str(tmp_path / "in"), "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not list(tmp_path.glob(".a.h5.*.part")):
        time.sleep(0.01)
    process.terminate()
    _, said = process.communicate()
    assert process.returncode in (0, 143)
    assert "Traceback" not in said
    assert out.exists() == (process.returncode == 0)
    assert not list(tmp_path.glob(".a.h5.*.part"))

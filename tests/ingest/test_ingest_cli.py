"""`ctrobust ingest` as its user meets it."""

import json
import re

import numpy as np
import pytest
from dicom_files import write_ct

from ctrobust.cli.main import main
from ctrobust.store import Store


@pytest.fixture
def folder(tmp_path):
    for i in range(3):
        write_ct(tmp_path / "in" / f"{i}", ImagePositionPatient=[0, 0, i])
    (tmp_path / "in" / "README").write_text("not an image")
    return tmp_path / "in"


def test_store_report_and_table(folder, tmp_path, capsys):
    out = tmp_path / "a.h5"
    assert main(["ingest", str(folder), "--out", str(out), "--log", str(tmp_path / "log")]) == 0
    shown = capsys.readouterr()
    assert "refused, not DICOM: 1" in shown.out
    assert "README" in shown.out
    assert "a.h5: 3 slices of 1 patients" in shown.out
    assert "slices: 3/3" in shown.err
    report = json.loads((tmp_path / "a.ingest.json").read_text())
    assert set(report) == {"schema", "series", "taken", "refused"}
    assert [set(entry) for entry in report["refused"]] == [{"sha256", "reason"}]
    with Store(out) as store:
        assert [entry["sha256"] for entry in report["taken"]] == list(store.source_sha256)
        assert [entry["series"] for entry in report["taken"]] == list(store.series)
    log = (tmp_path / "log").read_text()
    assert log.count("taken\t") == 3
    assert log.count("refused\t") == 1


def test_two_ingests_give_the_same_bytes(folder, tmp_path):
    for name in "ab":
        assert main(["ingest", str(folder), "--out", str(tmp_path / f"{name}.h5")]) == 0
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert (tmp_path / "a.ingest.json").read_bytes() == (tmp_path / "b.ingest.json").read_bytes()


def test_another_key_gives_other_names(folder, tmp_path):
    for name in "ab":
        key = ["--key", str(tmp_path / f"{name}.key")]
        assert main(["ingest", str(folder), "--out", str(tmp_path / f"{name}.h5"), *key]) == 0
    assert Store(tmp_path / "a.h5").patients != Store(tmp_path / "b.h5").patients
    assert (tmp_path / "a.key").read_bytes() not in (tmp_path / "a.h5").read_bytes()


def test_size_takes_what_is_otherwise_refused(folder, tmp_path):
    write_ct(folder / "large", np.zeros((32, 32), np.int16))
    assert main(["ingest", str(folder), "--out", str(tmp_path / "a.h5")]) == 0
    assert main(["ingest", str(folder), "--out", str(tmp_path / "b.h5"), "--size", "32"]) == 0
    assert len(Store(tmp_path / "a.h5")) == 3
    store = Store(tmp_path / "b.h5")
    assert (len(store), store.image_shape) == (4, (32, 32))
    assert sorted(set(store.pixel_mm[:, 0])) == [0.25, 0.5]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["{in}", "--out", "{tmp}/there.h5"], r"there\.h5: not an HDF5 file"),
        (["{in}", "--out", "{tmp}/a.h5", "--log", "{tmp}/there.h5"], r"there\.h5: exists already"),
        (["{tmp}/nowhere", "--out", "{tmp}/a.h5"], r"nowhere: no such folder"),
        (["{in}/README", "--out", "{tmp}/a.h5"], r"README: not a folder"),
        (["{tmp}/empty", "--out", "{tmp}/a.h5"], r"empty: no files in there"),
        (
            ["{tmp}/text", "--out", "{tmp}/a.h5"],
            r"text: nothing could be taken, 1 files refused \(not DICOM\)",
        ),
        (["{in}", "--out", "{tmp}/a.h5", "--size", "0"], r"--size 0: give a whole number from 16"),
        (["{in}", "--out", "{tmp}/there.h5/a.h5"], r"a\.h5: .*cannot be written"),
        (["{in}", "--out", "{tmp}/a.h5", "--key", "{in}/README"], r"README: not a key"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(folder, tmp_path, capsys, arguments, complaint):
    (tmp_path / "there.h5").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "note").write_text("x")
    before = sorted(tmp_path.rglob("*"))
    filled = [argument.format(**{"in": folder, "tmp": tmp_path}) for argument in arguments]
    assert main(["ingest", *filled]) == 2
    *progress, line = capsys.readouterr().err.splitlines()
    assert re.match("ctrobust ingest: .*" + complaint, line)
    assert all(re.search(r"\d+/\d+|made a new key", other) for other in progress)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "there.h5").read_text() == "mine"

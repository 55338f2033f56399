"""The manifest: its keys, its way back, and every way it can be wrong; `ctrobust split`."""

import json
import re

import pytest

from ctrobust.cli.main import main
from ctrobust.core.errors import UserError
from ctrobust.store import make_folds, make_split, read_split, write_split

PATIENTS = "aaaabbbbccccddddeeee"


@pytest.fixture
def store(store_of):
    return store_of(PATIENTS)


@pytest.mark.parametrize("by", ["patient", "slice"])
def test_there_and_back(store, tmp_path, by):
    split = make_split(store, by=by, eval_fraction=0.4, val_fraction=0.3, seed=3)
    write_split(split, tmp_path / "s.json")
    assert read_split(tmp_path / "s.json", store) == split
    manifest = json.loads((tmp_path / "s.json").read_text())
    assert list(manifest) == ["schema", "by", "seed", "store_sha256", "train", "val", "eval"]
    assert (manifest["by"], manifest["seed"], manifest["store_sha256"]) == (by, 3, store.sha256)


def _without(key):
    return lambda manifest: manifest.pop(key)


def _with(**changes):
    return lambda manifest: manifest.update(changes)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (_with(schema=2), "schema 2, this version reads 1; upgrade"),
        (_with(schema=True), "schema True"),
        (_without("schema"), "JSON, but not a split"),
        (_without("val"), "keys missing or unknown: val"),
        (_with(test=[]), "keys missing or unknown: test"),
        (_with(by="scanner"), "by 'scanner'"),
        (_with(seed="0"), "seed '0'"),
        (_with(store_sha256="0" * 64), "made for another store"),
        (_with(train="0"), "train: give a list"),
        (_with(train=[0.0]), "train: give a list"),
        (_with(train=[True]), "train: give a list"),
        (_with(train=[]), "train: empty"),
        (_with(eval=[]), "eval: empty"),
        (_with(train=[0, 1], val=[1], eval=[4]), "slice 1 stands twice"),
        (_with(train=[0], val=[], eval=[4, 4]), "slice 4 stands twice"),
        (_with(train=[0], val=[], eval=[20]), "eval: slice 20 is not in the store, which has 20"),
        (_with(train=[-1], val=[], eval=[4]), "train: slice -1 is not in the store"),
        (_with(train=[0], val=[], eval=[1]), "by patient, but patient p-a of eval"),
        (_with(train=[0], val=[5], eval=[4]), "by patient, but patient p-b of eval"),
    ],
)
def test_a_wrong_manifest_is_refused(store, tmp_path, spoil, complaint):
    path = tmp_path / "s.json"
    write_split(make_split(store, eval_fraction=0.4), path)
    manifest = json.loads(path.read_text())
    spoil(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(UserError) as caught:
        read_split(path, store)
    assert re.match(f"{re.escape(str(path))}: {re.escape(complaint)}", str(caught.value))


def test_by_slice_may_share_patients(store, tmp_path):
    split = make_split(store, by="slice", eval_fraction=0.5)
    write_split(split, tmp_path / "s.json")
    assert read_split(tmp_path / "s.json", store).by == "slice"


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100000, b'"text"'])
def test_what_is_no_manifest_is_refused(store, tmp_path, content):
    (tmp_path / "s.json").write_bytes(content)
    with pytest.raises(UserError, match=r"s\.json: (not JSON|JSON, but not a split)"):
        read_split(tmp_path / "s.json", store)


def test_a_missing_manifest(store, tmp_path):
    with pytest.raises(UserError, match="no such split"):
        read_split(tmp_path / "s.json", store)
    with pytest.raises(UserError, match="cannot be read"):
        read_split(tmp_path, store)


def test_the_command(store, tmp_path, capsys):
    out = tmp_path / "s.json"
    assert main(["split", str(store.path), "--eval", "0.4", "--val", "0.4", "--out", str(out)]) == 0
    assert capsys.readouterr().out.split() == [
        "part", "slices", "patients", "train", "8", "2", "val", "4", "1", "eval", "8", "2",
    ]  # fmt: skip
    assert read_split(out, store).by == "patient"


def test_validation_out_of_training_patients_is_said(store_of, tmp_path, capsys):
    store = store_of("aaaaaaaabbbbbbbb")
    assert main(["split", str(store.path), "--eval", "0.5", "--out", str(tmp_path / "s.json")]) == 0
    assert "val: slices of training patients" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["{store}", "--eval", "0.4", "--out", "{tmp}/there"], "there: exists already"),
        (["{tmp}/none.h5", "--eval", "0.4", "--out", "{tmp}/s"], "none.h5: no such store"),
        (["{store}", "--eval", "1.5", "--out", "{tmp}/s"], "--eval 1.5: give a fraction"),
        (["{store}", "--eval", "nan", "--out", "{tmp}/s"], "--eval nan: give a fraction"),
        (["{store}", "--eval", "0.4", "--val", "1", "--out", "{tmp}/s"], "--val 1: give a fraction"),
        (["{store}", "--eval", "0.4", "--out", "{tmp}/there/s"], "the split cannot be written"),
    ],
)
def test_a_mistake_is_one_line(store, tmp_path, capsys, arguments, complaint):
    (tmp_path / "there").write_text("mine")
    filled = [argument.format(store=store.path, tmp=tmp_path) for argument in arguments]
    assert main(["split", *filled]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ctrobust split: ")
    assert complaint in line
    assert (tmp_path / "there").read_text() == "mine"


def test_by_slice_counts_its_leakage(store, tmp_path, capsys):
    out = tmp_path / "s.json"
    assert main(["split", str(store.path), "--by", "slice", "--eval", "0.25", "--out", str(out)]) == 0
    split = read_split(out, store)
    known = {store.patients[i] for i in (*split.train, *split.val)}
    leaking = sum(store.patients[i] in known for i in split.eval)
    assert leaking == 5
    assert f"leakage: {leaking} of 5 eval slices" in capsys.readouterr().out


def test_stratified_by_series(store, tmp_path):
    out = tmp_path / "s.json"
    arguments = ["split", str(store.path), "--by", "slice", "--stratify", "--eval", "0.25", "--out", str(out)]
    assert main(arguments) == 0
    split = read_split(out, store)
    assert sorted(store.series[i] for i in split.eval) == ["s-a", "s-b", "s-c", "s-d", "s-e"]


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (
            "patient,part\np-a,train\np-b,train\np-c,val\np-d,eval\n",
            (range(8), range(8, 12), range(12, 16)),
        ),
        ("part, series\neval, s-e\ntrain, s-a\n", (range(4), (), range(16, 20))),
        (
            f"source_sha256,part,note\n{0:064x},train,x\n{1:064x},eval,y\n",
            ((0,), (), (1,)),
        ),
    ],
)
def test_by_a_list(store, tmp_path, capsys, content, parts):
    table, out = tmp_path / "list.csv", tmp_path / "s.json"
    table.write_text(content)
    assert main(["split", str(store.path), "--list", str(table), "--out", str(out)]) == 0
    split = read_split(out, store)
    assert split.by == "list"
    assert (split.train, split.val, split.eval) == tuple(map(tuple, parts))
    printed = capsys.readouterr().out
    assert f"in no part: {20 - sum(map(len, parts))} slices" in printed
    assert f"leakage: {1 if parts[0] == (0,) else 0} of {len(split.eval)} eval" in printed


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("patient,part\np-z,train\n", "patient p-z is not in"),
        ("patient,part\np-a,test\n", "line 2: part 'test': give one of train, val, eval"),
        ("patient,part\np-a,train\np-a,eval\n", "line 3: patient p-a is in train already"),
        ("patient,part\np-a,train\n", "no slice is in eval"),
        ("name,part\np-a,train\n", "give a CSV file with the columns"),
        ("patient,series,part\n", "give a CSV file with the columns"),
        ("", "give a CSV file with the columns"),
        (b"\xff\xfe\x00", "not a CSV file"),
    ],
)
def test_a_wrong_list_is_one_line(store, tmp_path, capsys, content, complaint):
    table, out = tmp_path / "list.csv", tmp_path / "s.json"
    table.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert main(["split", str(store.path), "--list", str(table), "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"ctrobust split: {table}")
    assert complaint in line
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "give one of --eval FRACTION, --folds K and --list FILE.csv"),
        (["--eval", "0.2", "--list", "x.csv"], "leave out --eval, --folds"),
        (["--eval", "0.2", "--folds", "3"], "give one of --eval FRACTION, --folds K"),
        (["--folds", "6"], "--folds 6: 5 patients are in the store; give 2 to 5"),
        (["--folds", "1"], "--folds 1: 5 patients"),
        (["--folds", "3", "--by", "slice"], "--folds leaves whole patients out"),
        (["--folds", "3", "--val", "1"], "--val 1: give a fraction"),
        (["--eval", "0.2", "--stratify"], "--stratify: a series belongs to one patient"),
        (["--list", "/nowhere/x.csv"], "the list cannot be read"),
        (["--list", "x.csv", "--by", "patient"], "--by, --stratify"),
        (["--list", "x.csv", "--stratify"], "--by, --stratify"),
        (["--list", "x.csv", "--seed", "0"], "--by, --stratify"),
    ],
)
def test_contradictions_are_one_line(store, tmp_path, capsys, arguments, complaint):
    assert main(["split", str(store.path), "--out", str(tmp_path / "s"), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line
    assert not (tmp_path / "s").exists()


def test_folds_are_a_manifest_each(store, tmp_path, capsys):
    assert main(["split", str(store.path), "--folds", "3", "--seed", "4", "--out", str(tmp_path / "f")]) == 0
    files = [tmp_path / "f" / f"fold-{number}.json" for number in (1, 2, 3)]
    assert sorted((tmp_path / "f").iterdir()) == files
    folds = [read_split(file, store) for file in files]
    assert folds == make_folds(store, 3, seed=4)
    assert sorted(index for fold in folds for index in fold.eval) == list(range(20))
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines() if "slices" in line] == [
        file.stem for file in files
    ]

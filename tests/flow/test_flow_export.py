"""A run handed over is the same f, says what it is, and nothing of whose data it saw."""

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ctrobust.cli.main import main
from ctrobust.core.errors import UserError
from ctrobust.core.files import sha256_of
from ctrobust.handover import HANDED_OVER, _anonymous, export_run
from ctrobust.recipes import read_recipe
from ctrobust.reconstruct import load
from ctrobust.store import Store

FILES = {"README.md", "SHA256SUMS", "recipe.yaml", "result.json", "weights.safetensors"}


@pytest.fixture(scope="module")
def trained(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "jane.doe"
    quick = ["train.steps=4", "evaluate.steps=2", "evaluate.examples=1"]
    assert main(["train", "tiny", "--data", str(store), "--out", str(out), *quick]) == 0
    return out


@pytest.fixture(scope="module")
def parcels(trained: Path) -> tuple[Path, Path]:
    folder, archive = trained.parent / "folder", trained.parent / "archive.zip"
    for out in (folder, archive):
        assert main(["export", str(trained), "--out", str(out)]) == 0
    return folder, archive


@pytest.fixture
def spoiled(parcels: tuple[Path, Path], tmp_path: Path) -> Path:
    return shutil.copytree(parcels[0], tmp_path / "spoiled")


def test_it_is_the_same_f_from_a_folder_and_from_a_zip(trained: Path, parcels: tuple[Path, Path]) -> None:
    f = load(trained)
    y = torch.rand(2, 1, *f.projector.geometry.sinogram_shape, generator=torch.Generator().manual_seed(0))
    for parcel in parcels:
        torch.testing.assert_close(load(parcel)(y), f(y), rtol=0, atol=0)


def test_nothing_of_the_data_is_in_it(store: Path, trained: Path, parcels: tuple[Path, Path]) -> None:
    with Store(store) as opened:
        private = {*opened.patients, *opened.series, *opened.source_sha256}
    private |= {"jane.doe", store.name, str(store.parent), str(trained.parent), "exp_avg", "adversary"}
    found = {path.name: path.read_bytes() for path in parcels[0].iterdir()}
    assert set(found) == FILES
    assert not [(name, word) for name, text in found.items() for word in private if word.encode() in text]
    recipe = read_recipe(parcels[0] / "recipe.yaml")
    assert recipe.data.store == f"sha256:{sha256_of(store)}"
    assert recipe.data.split is None
    files = replace(
        recipe, data=replace(recipe.data, split="/a/b.json"), options={"prior": "/home/jane/p", "beta": 2}
    )
    told = _anonymous(files, {"data": {"store_sha256": "5a", "split_sha256": "c3"}})
    assert (told.data.split, told.options) == ("sha256:c3", {"prior": "withheld", "beta": 2})


def test_no_part_of_a_result_is_forgotten_or_handed_over_unseen(trained: Path) -> None:
    """Who adds one decides whether it may leave the house."""
    assert set(json.loads((trained / "result.json").read_text())) == {*HANDED_OVER, "slices"}


def test_nothing_is_told_of_a_slice_by_itself(trained: Path, parcels: tuple[Path, Path]) -> None:
    told, handed = ((run / "result.json").read_text() for run in (trained, parcels[0]))
    for key in ('"slices"', '"worst"'):
        assert key in told
        assert key not in handed


def test_the_zip_holds_the_same_and_is_made_the_same_again(
    trained: Path, parcels: tuple[Path, Path], tmp_path: Path
) -> None:
    folder, archive = parcels
    with zipfile.ZipFile(archive) as stream:
        assert {name: stream.read(name) for name in stream.namelist()} == {
            path.name: path.read_bytes() for path in folder.iterdir()
        }
        assert {entry.date_time[0] for entry in stream.infolist()} == {1980}
    export_run(trained, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == archive.read_bytes()


def test_the_card_says_what_it_is(trained: Path, parcels: tuple[Path, Path], tmp_path: Path) -> None:
    card = (parcels[0] / "README.md").read_text()
    result = json.loads((trained / "result.json").read_text())
    split = json.loads((trained / "split.json").read_text())
    said = [
        "not for clinical use",
        sha256_of(parcels[0] / "weights.safetensors"),
        f"{len(split['train'])} slices to train on, {len(split['val'])} to choose",
        f"{result['data']['n_slices']} slices of {result['data']['n_patients']} patients",
        f"{result['clean']['psnr_db']:.1f} dB",
        result["data"]["split_sha256"],
        "4 of 4 steps",
        "| method | minmax |",
        "| convergence |",
        "none stated",
        "Slices of a store",
    ]
    assert [text for text in said if text not in card] == []
    assert card.count("%") >= len(result["curve"])
    export_run(trained, tmp_path / "mine", licence="CC-BY-4.0")
    assert "| CC-BY-4.0 |" in (tmp_path / "mine" / "README.md").read_text()


def test_a_report_is_drawn_of_it_and_says_what_is_missing(parcels: tuple[Path, Path], tmp_path: Path) -> None:
    for number, parcel in enumerate(parcels):
        out = tmp_path / str(number)
        assert main(["report", str(parcel), "--out", str(out)]) == 0
        page = (out / "report.html").read_text()
        assert "handed over without its history" in page
        assert "phantoms" not in page


@pytest.mark.parametrize("name", ["weights.safetensors", "recipe.yaml", "result.json"])
def test_a_changed_file_is_refused(spoiled: Path, name: str, tmp_path: Path) -> None:
    content = (spoiled / name).read_bytes()
    (spoiled / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    for use in (lambda: load(spoiled), lambda: _report(spoiled, tmp_path)):
        with pytest.raises(UserError, match=f"{name}: changed since"):
            use()


def test_what_is_missing_is_named(spoiled: Path) -> None:
    (spoiled / "SHA256SUMS").unlink()
    with pytest.raises(UserError, match="SHA256SUMS: missing"):
        load(spoiled)
    shutil.copy(spoiled / "README.md", spoiled / "SHA256SUMS")
    with pytest.raises(UserError, match="SHA256SUMS: missing or not a list"):
        load(spoiled)
    (spoiled / "weights.safetensors").unlink()
    with pytest.raises(UserError, match=r"weights.safetensors: not found"):
        load(spoiled)


def test_weights_of_another_hand_are_refused(spoiled: Path) -> None:
    for content in (
        b"nothing",
        (spoiled / "weights.safetensors").read_bytes().replace(b"ctrobust", b"otherust"),
    ):
        (spoiled / "weights.safetensors").write_bytes(content)
        sums = f"{sha256_of(spoiled / 'weights.safetensors')}  weights.safetensors"
        rest = (spoiled / "SHA256SUMS").read_text().splitlines()[1:]
        (spoiled / "SHA256SUMS").write_text("\n".join([sums, *rest]))
        with pytest.raises(UserError, match="not weights of ctrobust"):
            load(spoiled)


def test_only_a_judged_run_is_handed_over_and_only_once(
    trained: Path, parcels: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="exists already"):
        export_run(trained, parcels[1])
    with pytest.raises(UserError, match="pass it on as it is"):
        export_run(parcels[0], tmp_path / "again")
    with pytest.raises(UserError, match="best weights alone"):
        load(parcels[0], checkpoint="last")
    run = shutil.copytree(trained, tmp_path / "run")
    (run / "result.json").write_text(json.dumps({"weights_sha256": "of others"}))
    with pytest.raises(UserError, match="not of the weights"):
        export_run(run, tmp_path / "out")
    (run / "result.json").unlink()
    with pytest.raises(UserError, match="ctrobust evaluate"):
        export_run(run, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as stream:
        stream.writestr("../recipe.yaml", "method: erm")
    (tmp_path / "broken.zip").write_text("PK")
    for name in ("other.zip", "broken.zip"):
        with pytest.raises(UserError, match="not written by `ctrobust export`"):
            load(tmp_path / name)


def _report(run: Path, out: Path) -> None:
    from ctrobust.report import write_report

    write_report([run], out / "report")

"""LoDoPaB-CT: files of the published layout, written as the authors' script does, back to the HU that went in."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from ctrobust_datasets import lodopab
from ctrobust_datasets.filling import fill_store

from ctrobust.core.errors import UserError
from ctrobust.ingest.refusal import Refused
from ctrobust.store import Store, listed_split

LAST = 3553 - 27 * 128
"""Rows of the last test file."""


def scanner_hu(count: int) -> np.ndarray:
    """(count, 362, 362) whole HU from −1000 on, no two slices, rows or columns alike."""
    row, column = np.mgrid[:362, :362]
    return (-1000 + row * 3 + column * 5 + np.arange(count)[:, None, None]).astype(np.float64)


def stored(hu: np.ndarray) -> np.ndarray:
    """What create_dataset.py of the authors makes of HU, without its dither: transposed, normalised, clipped."""
    attenuation = hu.transpose(0, 2, 1) * (20 - 0.02) / 1000 + 20
    return np.clip(attenuation / 81.35858, 0, 1).astype(np.float32)


def write(folder: Path, name: str, images: np.ndarray) -> Path:
    with h5py.File(folder / name, "w") as file:
        file.create_dataset("data", data=images, maxshape=images.shape, chunks=True, compression="lzf")
    return folder / name


def write_ids(folder: Path, part: str, ids: np.ndarray) -> None:
    (folder / f"patient_ids_rand_{part}.csv").write_text("".join(f"{number}\n" for number in ids))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The last file of test, the first of validation, a measurement, and the patients of test alone."""
    folder = tmp_path_factory.mktemp("lodopab")
    write(folder, "ground_truth_test_027.hdf5", stored(scanner_hu(LAST)))
    write(folder, "ground_truth_validation_000.hdf5", np.broadcast_to(np.float32(0.25), (128, 362, 362)))
    write(folder, "observation_test_027.hdf5", np.zeros((2, 10, 513), np.float32))
    write_ids(folder, "test", 692 + np.arange(3553) % 60)
    return folder


@pytest.fixture(scope="module")
def read(folder: Path):
    refused: list[Refused] = []
    return list(lodopab.records(folder, refuse=refused.append)), refused


def test_the_hu_that_went_in_come_out_the_right_way_round(read) -> None:
    slices = [record for record in read[0] if record.series == "lodopab-test"]
    assert len(slices) == LAST
    for record, hu in zip(slices, scanner_hu(LAST), strict=True):
        assert np.abs(record.image_hu - hu).max() < 1e-3


def test_hu_are_the_published_formula_rounded_once(read) -> None:
    record = next(record for record in read[0] if record.series == "lodopab-validation")
    assert record.image_hu[0, 0] == np.float32((0.25 * 81.35858 - 20) * 1000 / 19.98)
    assert lodopab.hu_of(np.array([0.0, 1.0])) == pytest.approx([-20_000 / 19.98, 3071], abs=1e-9)


def test_slices_are_26_cm_wide_and_have_no_position(read) -> None:
    for record in read[0]:
        assert record.pixel_mm == (260 / 362, 260 / 362)
        assert np.isnan(record.position_mm)


def test_patients_are_those_of_the_table_and_a_part_without_one_is_one_patient(read) -> None:
    patients = {record.series: [] for record in read[0]}
    for record in read[0]:
        patients[record.series].append(record.patient)
    assert patients["lodopab-test"] == [f"lodopab-{692 + (27 * 128 + row) % 60:04d}" for row in range(LAST)]
    assert set(patients["lodopab-validation"]) == {"lodopab-validation"}


def test_no_two_slices_draw_the_same_noise(read) -> None:
    assert len({record.source_sha256 for record in read[0]}) == LAST + 128


def test_what_is_no_image_is_refused_by_name(read) -> None:
    assert [(entry.path.name, entry.reason.split(",")[0]) for entry in read[1]] == [
        ("observation_test_027.hdf5", "a simulated measurement")
    ]


def test_the_published_parts_can_be_followed(folder: Path, tmp_path: Path) -> None:
    fill_store(lodopab.records(folder, refuse=lambda _: None), tmp_path / "store.h5", size=16)
    table = tmp_path / "parts.csv"
    table.write_text("series,part\nlodopab-validation,train\nlodopab-test,eval\n")
    with Store(tmp_path / "store.h5") as store:
        split = listed_split(store, table)
    assert (len(split.train), len(split.eval)) == (128, LAST)


def test_a_part_may_be_asked_for_and_the_others_are_accounted(folder: Path) -> None:
    refused: list[Refused] = []
    first = next(iter(lodopab.records(folder, parts=["test"], refuse=refused.append)))
    assert first.series == "lodopab-test"
    assert "part validation was not asked for" in {entry.reason for entry in refused}


def damaged(hu: np.ndarray, how: str) -> np.ndarray:
    images = stored(hu)
    match how:
        case "too few":
            return images[:-1]
        case "another size":
            return images[:, :300]
        case "above 1":
            images[3, 4, 5] = 1.5
        case "NaN":
            images[3, 4, 5] = np.nan
        case "never written":
            images[7] = 0
        case "beyond the part":
            return np.concatenate([images, images[:1]])
        case "whole numbers":
            return (images * 255).astype(np.uint8)
    return images


@pytest.mark.parametrize(
    "how", ["too few", "another size", "above 1", "NaN", "never written", "beyond the part", "whole numbers"]
)
def test_a_file_that_does_not_fit_is_refused_whole(tmp_path: Path, how: str) -> None:
    write(tmp_path, "ground_truth_test_027.hdf5", damaged(scanner_hu(LAST), how))
    refused: list[Refused] = []
    assert list(lodopab.records(tmp_path, refuse=refused.append)) == []
    assert [entry.path.name for entry in refused] == ["ground_truth_test_027.hdf5"]


def test_unwritten_rows_after_the_last_slice_are_none(tmp_path: Path) -> None:
    images = np.zeros((128, 362, 362), np.float32)
    images[:LAST] = stored(scanner_hu(LAST))
    write(tmp_path, "ground_truth_test_027.hdf5", images)
    assert len(list(lodopab.records(tmp_path))) == LAST


def test_damaged_packed_and_foreign_files_are_refused(tmp_path: Path) -> None:
    whole = write(tmp_path, "ground_truth_test_027.hdf5", stored(scanner_hu(LAST)))
    whole.write_bytes(whole.read_bytes()[:5000])
    for name in ("ground_truth_train.zip", "notes.txt", "ground_truth_test_028.hdf5", "other.hdf5"):
        (tmp_path / name).write_bytes(b"x")
    refused: list[Refused] = []
    assert list(lodopab.records(tmp_path, refuse=refused.append)) == []
    reasons = {entry.path.name: entry.reason for entry in refused}
    assert reasons["ground_truth_test_027.hdf5"] == "damaged file"
    assert "unzip" in reasons["ground_truth_train.zip"]
    assert "beyond" in reasons["ground_truth_test_028.hdf5"]
    assert set(reasons) == {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    "content", ["1\n2\n", "a\n" * 3553, "-1\n" * 3553], ids=["short", "no numbers", "negative"]
)
def test_a_wrong_table_of_patients_stops_with_its_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "ground_truth_test_027.hdf5").touch()
    (tmp_path / "patient_ids_rand_test.csv").write_text(content)
    with pytest.raises(UserError, match=r"patient_ids_rand_test\.csv"):
        next(iter(lodopab.records(tmp_path)))


def test_a_folder_or_part_that_is_not_there(tmp_path: Path, folder: Path) -> None:
    for wrong in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UserError, match=str(wrong)):
            next(iter(lodopab.records(wrong)))
    with pytest.raises(UserError, match="of train"):
        next(iter(lodopab.records(folder, parts=["train"])))
    with pytest.raises(UserError, match="'tset'"):
        next(iter(lodopab.records(folder, parts=["tset"])))

"""PNG, TIFF and .npy: the levels a user's scale turns into HU, whose slices they are, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from ctrobust_datasets import npy, raster
from ctrobust_datasets.sources import natural
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ctrobust.core.errors import UserError
from ctrobust.ingest import Pseudonyms
from ctrobust.ingest.refusal import Refused

KEY = Pseudonyms(b"k" * 32)
LEVELS_8 = np.arange(256, dtype=np.uint8).reshape(16, 16)
LEVELS_16 = (np.arange(256) * 257).astype(np.uint16).reshape(16, 16)
HU = np.linspace(-1000, 2000, 256).reshape(16, 16)


def save(path: Path, levels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels).save(path)
    return path


def pictures(folder: Path, **options: object) -> tuple[list, list[Refused]]:
    refused: list[Refused] = []
    usual = {"pixel_mm": 0.7, "pseudonyms": KEY, "refuse": refused.append}
    return list(raster.records(folder, **usual | options)), refused


def arrays(folder: Path, **options: object) -> tuple[list, list[Refused]]:
    refused: list[Refused] = []
    usual = {"pixel_mm": 0.7, "pseudonyms": KEY, "refuse": refused.append}
    return list(npy.records(folder, **usual | options)), refused


@pytest.mark.parametrize("levels", [LEVELS_8, LEVELS_16], ids=["8 bit", "16 bit"])
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_a_window_spans_all_levels(tmp_path: Path, levels: np.ndarray, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    save(path, levels) if ending == "png" else tifffile.imwrite(path, levels)
    (record,), refused = pictures(tmp_path, window=(-1000, 3095))
    top = 255 if levels.dtype == np.uint8 else 65535
    assert not refused
    assert np.array_equal(record.image_hu, (-1000 + levels.astype(float) * 4095 / top).astype(np.float32))
    assert (record.image_hu[0, 0], record.image_hu[-1, -1]) == (-1000, 3095)
    assert record.pixel_mm == (0.7, 0.7)
    assert np.isnan(record.position_mm)


def test_slope_and_intercept_turn_16_bits_into_hu_and_padding_reads_1024(tmp_path: Path) -> None:
    save(tmp_path / "a.png", LEVELS_16)
    (record,), _ = pictures(tmp_path, slope=0.5, intercept=-1500)
    expected = np.maximum(LEVELS_16 * 0.5 - 1500.0, -1024)
    assert np.array_equal(record.image_hu, expected.astype(np.float32))


def test_a_signed_tiff_of_many_pages_is_a_volume(tmp_path: Path) -> None:
    stack = (np.arange(3 * 256).reshape(3, 16, 16) - 1000).astype(np.int16)
    tifffile.imwrite(tmp_path / "stack.tiff", stack, photometric="minisblack")
    slices, _ = pictures(tmp_path, slope=1, intercept=0)
    assert np.array_equal(np.stack([record.image_hu for record in slices]), stack.astype(np.float32))
    assert len({record.source_sha256 for record in slices}) == 3


@pytest.mark.parametrize(
    ("scale", "match"),
    [
        ({}, "either --window"),
        ({"window": (0, 1), "slope": 1, "intercept": 0}, "either --window"),
        ({"slope": 1}, "either --window"),
        ({"window": (10, 10)}, "lower end first"),
        ({"window": (float("nan"), 10)}, "finite"),
        ({"slope": 0, "intercept": -1024}, "slope 0"),
        ({"window": (-1000, 1000), "pixel_mm": 0}, "pixel-mm"),
        ({"window": (-1000, 1000), "pixel_mm": float("nan")}, "pixel-mm"),
    ],
)
def test_nothing_is_guessed(tmp_path: Path, scale: dict[str, object], match: str) -> None:
    save(tmp_path / "a.png", LEVELS_8)
    with pytest.raises(UserError, match=match):
        pictures(tmp_path, **scale)


def test_slices_of_a_folder_are_in_natural_order_and_one_patient(tmp_path: Path) -> None:
    for patient, level in (("Doe", 1), ("Roe", 3)):
        for number in (10, 2, 1):
            save(
                tmp_path / patient / f"slice-{number}.png",
                np.where(LEVELS_8 < 9, 0, number * level).astype(np.uint8),
            )
    slices, _ = pictures(tmp_path, slope=1, intercept=-1024)
    assert [record.image_hu[-1, -1] + 1024 for record in slices] == [1, 2, 10, 3, 6, 30]
    assert (
        len({record.patient for record in slices[:3]}) == len({record.series for record in slices[:3]}) == 1
    )
    assert slices[0].patient != slices[3].patient
    assert not any("oe" in text for record in slices for text in (record.patient, record.series))


def test_loose_slices_never_pass_for_patients(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / f"{number}.png", LEVELS_8 - number)
        np.save(tmp_path / f"{number}.npy", HU + number)
    assert len({record.patient for record in pictures(tmp_path, slope=8, intercept=-1024)[0]}) == 1
    assert len({record.patient for record in arrays(tmp_path)[0]}) == 1


def test_what_is_no_grey_picture_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "colour.png", np.stack([LEVELS_8] * 3, -1))
    Image.fromarray(LEVELS_8).convert("P").save(tmp_path / "palette.png")
    Image.fromarray(LEVELS_8).convert("1").save(tmp_path / "bit.png")
    tifffile.imwrite(tmp_path / "colour.tif", np.stack([LEVELS_8] * 3, -1), photometric="rgb")
    tifffile.imwrite(tmp_path / "white.tif", LEVELS_8, photometric="miniswhite")
    tifffile.imwrite(tmp_path / "float.tif", HU.astype(np.float32))
    Image.fromarray(LEVELS_8).save(tmp_path / "lossy.jpg")
    whole = save(tmp_path / "cut.png", np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8))
    whole.write_bytes(whole.read_bytes()[:1000])
    slices, refused = pictures(tmp_path, window=(-1000, 3000))
    assert not slices
    assert {entry.path.name for entry in refused} == {path.name for path in tmp_path.iterdir()}
    reasons = {entry.path.name: entry.reason for entry in refused}
    assert "colours" in reasons["colour.png"]
    assert "colours" in reasons["colour.tif"]
    assert "white stands for zero" in reasons["white.tif"]
    assert "--slope" in reasons["float.tif"]
    assert reasons["cut.png"] == "damaged file"


def test_a_window_that_lost_the_air_is_refused_unless_told(tmp_path: Path) -> None:
    save(tmp_path / "a.png", LEVELS_8)
    slices, refused = pictures(tmp_path, window=(-160, 240))
    assert not slices
    assert "--without-air" in refused[0].reason
    assert len(pictures(tmp_path, window=(-160, 240), air=False)[0]) == 1


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
def test_arrays_in_hu_come_out_as_they_are(tmp_path: Path, dtype: type) -> None:
    volume = np.stack([HU, HU + 1]).astype(dtype)
    np.save(tmp_path / "a.npy", volume)
    slices, refused = arrays(tmp_path)
    assert not refused
    assert np.array_equal(np.stack([record.image_hu for record in slices]), volume.astype(np.float32))
    assert {record.pixel_mm for record in slices} == {(0.7, 0.7)}
    assert len({record.source_sha256 for record in slices}) == 2


def test_arrays_that_are_no_hu_are_refused(tmp_path: Path) -> None:
    nan = HU.copy()
    nan[3, 3] = np.nan
    wrong = {
        "nan": nan,
        "normalised": (HU + 1000) / 3000,
        "empty": np.zeros((0, 4, 4)),
        "line": np.arange(5.0) - 1000,
        "complex": HU.astype(complex),
        "object": np.array([[{}]], object),
    }
    for name, array in wrong.items():
        np.save(tmp_path / f"{name}.npy", array)
    np.savez(tmp_path / "packed.npz", HU)
    np.save(tmp_path / "cut.npy", HU)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:-8])
    slices, refused = arrays(tmp_path)
    assert not slices
    assert {entry.path.name for entry in refused} == {path.name for path in tmp_path.iterdir()}


def test_folders_that_hold_nothing_are_a_users_mistake(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UserError, match=str(folder)):
            arrays(folder)
        with pytest.raises(UserError, match=str(folder)):
            pictures(folder, window=(-1000, 1000))


@given(
    numbers=st.lists(st.integers(0, 10**6), min_size=2, unique=True),
    before=st.sampled_from(["", "7/", "slice-", "ä 3 b/x"]),
)
def test_natural_order_is_that_of_the_numbers(numbers: list[int], before: str) -> None:
    names = [Path(f"{before}{number}.png") for number in numbers]
    assert [names.index(name) for name in sorted(names, key=natural)] == list(np.argsort(numbers))

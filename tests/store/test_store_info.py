"""`ctrobust info`: what it says is what is in the store, and damage does not pass it."""

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.io import imread

from ctrobust.cli.main import main
from ctrobust.core.errors import UserError
from ctrobust.store import Store
from ctrobust.store.overview import hu_of, series_of
from ctrobust.store.schema import COLUMNS, columns_sha256


def test_says_what_is_in_the_store(store_of, tmp_path, capsys):
    store = store_of("aabccc")
    sheet = tmp_path / "sheet.png"
    assert main(["info", str(store.path), "--sheet", str(sheet)]) == 0
    printed = capsys.readouterr().out
    assert "6 slices of 16x16 pixels, 3 series" in printed
    assert "3 patients" in printed
    assert store.sha256 in printed
    rows = {line.split()[0]: line.split() for line in printed.splitlines() if line.startswith("p-")}
    assert rows["p-c"] == ["p-c", "s-c", "3", "0.5", "x", "0.625", "2.5", "7.5", "to", "12.5"]
    assert rows["p-b"] == ["p-b", "s-b", "1", "0.5", "x", "0.625", "5.0"]
    picture = imread(sheet)
    assert picture.ndim == 3
    assert picture[..., :3].std() > 10
    assert f"contact sheet of 3 series: {sheet}" in printed


def test_the_sheet_lies_beside_the_store_and_is_made_anew(store_of):
    store = store_of("ab")
    for _ in range(2):
        assert main(["info", str(store.path)]) == 0
    assert store.path.with_suffix(".png").stat().st_size > 1000


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_every_pixel_is_counted_once(tmp_path_factory, data):
    from ctrobust.core.records import SliceRecord
    from ctrobust.store import write_store

    values = data.draw(
        st.lists(st.floats(-1024, 20000, width=32), min_size=4, max_size=4), label="HU of a slice of 2 x 2"
    )
    image = np.array(values, np.float32).reshape(2, 2)
    path = tmp_path_factory.mktemp("hu") / "s.h5"
    write_store(path, [SliceRecord(image, "p-a", "s-a", 0.0, (1.0, 1.0), "0" * 64)])
    with Store(path) as store:
        hu = hu_of(store, [0])
        assert hu.counts.sum() == 4
        assert hu.counts[0] == (image < -1023.5).sum()
        assert hu.counts[-1] == (image >= 3071).sum()
        assert (hu.lowest, hu.highest) == (image.min(), image.max())
        assert series_of(store)[0].spacing_mm is None


def test_a_flipped_bit_in_a_column_is_found(store_of):
    path = store_of("aab").path
    for name in COLUMNS:
        with h5py.File(path, "r+") as store:
            assert store.attrs["columns_sha256"] == columns_sha256(store)
            before = store[name][:]
            spoiled = before.copy()
            spoiled.view(np.uint8).reshape(-1)[0] ^= 1
            store[name][:] = spoiled
        with pytest.raises(UserError, match="its columns are not what was written"):
            Store(path)
        with h5py.File(path, "r+") as store:
            store[name][:] = before
        Store(path)


def test_a_store_of_before_the_checksum_still_opens(store_of):
    path = store_of("aab").path
    with h5py.File(path, "r+") as store:
        del store.attrs["columns_sha256"]
    assert len(Store(path)) == 3


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["{tmp}/none.h5"], "no such store"),
        (["{store}", "--sheet", "{tmp}/sheet.jpg"], "ends in .png"),
        (["{store}", "--sheet", "{store}/sheet.png"], "name another with --sheet"),
    ],
)
def test_a_mistake_is_one_line(store_of, tmp_path, capsys, arguments, complaint):
    filled = [argument.format(store=store_of("ab").path, tmp=tmp_path) for argument in arguments]
    assert main(["info", *filled]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("ctrobust info: ")
    assert complaint in line


def test_a_damaged_image_is_named(store_of, capsys):
    store = store_of("abc")
    with h5py.File(store.path) as file:
        place = file["slices/image"].id.get_chunk_info(1)
    content = bytearray(store.path.read_bytes())
    content[place.byte_offset + place.size // 2] ^= 0x10
    store.path.write_bytes(content)
    assert main(["info", str(store.path)]) == 2
    assert "slice 1 cannot be read" in capsys.readouterr().err


def test_places_that_are_not_known_are_said_to_be(tmp_path, slices, capsys):
    from dataclasses import replace

    from ctrobust.store import write_store

    write_store(tmp_path / "s.h5", [replace(each, position_mm=float("nan")) for each in slices("aa")])
    assert main(["info", str(tmp_path / "s.h5")]) == 0
    printed = capsys.readouterr().out
    assert "unknown" in printed
    assert "nan" not in printed

"""Resampling by option: HU preserved, field of view kept, one shape for all."""

import numpy as np
import pytest
from dicom_files import write_ct
from hypothesis import given, settings
from hypothesis import strategies as st

from ctrobust.core.errors import UserError
from ctrobust.ingest import Pseudonyms, Refused, read_slices, scan
from ctrobust.ingest.canvas import Canvas

PSEUDONYMS = Pseudonyms(bytes(32))


def ingest(paths, **options):
    return list(read_slices(scan(paths), PSEUDONYMS, **options))


def test_resampling_keeps_the_larger_field_of_view(tmp_path):
    stored = np.full((20, 30), 1024, np.int16)
    path = write_ct(tmp_path / "a", stored, PixelSpacing=[1.0, 0.8])
    (record,) = ingest([path], size=48)
    assert record.pixel_mm == (0.5, 0.5)
    assert record.image_hu.dtype == np.float32
    assert record.image_hu[24, 24] == 0
    assert record.image_hu[0, 0] == -1024
    area = (record.image_hu + 1024).sum() * 0.25
    np.testing.assert_allclose(area, 1024 * 20 * 30 * 0.8, rtol=1e-6)


@pytest.fixture
def two_fields(tmp_path):
    """24 and 48 mm across, water everywhere."""
    water = np.full((48, 48), 1024, np.int16)
    return [
        write_ct(tmp_path / "small", water, PixelSpacing=[0.5, 0.5], PatientID="A"),
        write_ct(tmp_path / "large", water, PixelSpacing=[1.0, 1.0], PatientID="B"),
    ]


def test_to_a_pixel_size_the_canvas_holds_the_largest_field_whole(two_fields):
    records = ingest(two_fields, pixel_mm=0.75)
    assert [record.image_hu.shape for record in records] == [(64, 64)] * 2
    assert {record.pixel_mm for record in records} == {(0.75, 0.75)}
    areas = sorted(float((record.image_hu + 1024).sum()) * 0.75**2 / 1024 for record in records)
    np.testing.assert_allclose(areas, [24**2, 48**2], rtol=1e-6)
    small = next(record.image_hu for record in records if record.image_hu[0, 0] == -1024)
    np.testing.assert_array_equal(small[16:48, 16:48], 0)
    assert (small[:16] == -1024).all()
    assert (small[:, 48:] == -1024).all()


def test_with_a_size_too_the_canvas_is_that_large_and_crops(two_fields):
    records = ingest(two_fields, pixel_mm=0.75, size=40)
    assert [record.image_hu.shape for record in records] == [(40, 40)] * 2
    assert sorted(float(record.image_hu[0, 0]) for record in records) == [-1024, 0]
    assert all(record.image_hu[20, 20] == 0 for record in records)


def test_the_pixels_own_size_changes_nothing(tmp_path):
    stored = np.random.default_rng(0).integers(0, 3000, (40, 40)).astype(np.int16)
    (record,) = ingest([write_ct(tmp_path / "a", stored, PixelSpacing=[0.7, 0.7])], pixel_mm=0.7)
    np.testing.assert_array_equal(record.image_hu, stored.astype(np.float32) - 1024)


def test_it_is_antialiased(tmp_path):
    """Stripes of one pixel become their mean, not stripes of another width."""
    stored = np.zeros((64, 64), np.int16)
    stored[:, ::2] = 2000
    (record,) = ingest([write_ct(tmp_path / "a", stored)], pixel_mm=1.0)
    np.testing.assert_array_equal(record.image_hu, np.full((32, 32), 1000 - 1024, np.float32))


@pytest.mark.parametrize("raw", [-2000, -2048, -3024])
@pytest.mark.parametrize("options", [{}, {"size": 32}, {"pixel_mm": 0.9}])
def test_every_vendors_outside_reads_minus_1024_resampled_or_not(tmp_path, raw, options):
    rows, columns = np.indices((64, 64)) - 31.5
    stored = np.where(np.hypot(rows, columns) < 32, 40, raw).astype(np.int16)
    (record,) = ingest([write_ct(tmp_path / "a", stored, RescaleIntercept=0)], **options)
    middle = len(record.image_hu) // 2
    assert record.image_hu[0, 0] == -1024
    assert record.image_hu[middle, middle] == 40
    assert record.image_hu.min() == -1024
    assert record.image_hu.max() == 40


def test_a_field_beyond_any_scanner_does_not_set_the_canvas(two_fields, tmp_path):
    absurd = write_ct(tmp_path / "absurd", PixelSpacing=[900, 900])
    *records, refused = sorted(
        ingest([*two_fields, absurd], pixel_mm=1.0), key=lambda o: isinstance(o, Refused)
    )
    assert [record.image_hu.shape for record in records] == [(48, 48)] * 2
    assert "field of view is beyond 1000 mm" in refused.reason


@pytest.mark.parametrize("pixel_mm", [0, -1, float("nan"), float("inf"), 0.001, 100])
def test_a_pixel_size_that_makes_no_image_is_said_at_once(two_fields, pixel_mm):
    with pytest.raises(UserError, match="--pixel-mm"):
        ingest(two_fields, pixel_mm=pixel_mm)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(16, 40),
    columns=st.integers(16, 40),
    row_mm=st.floats(0.3, 2),
    column_mm=st.floats(0.3, 2),
    pixel_mm=st.floats(0.3, 2),
    seed=st.integers(0, 99),
)
def test_hu_times_area_is_preserved_and_nothing_overshoots(rows, columns, row_mm, column_mm, pixel_mm, seed):
    image = np.random.default_rng(seed).uniform(-1024, 3000, (rows, columns)).astype(np.float32)
    size = int(np.ceil(max(rows * row_mm, columns * column_mm) / pixel_mm))
    fitted, _ = Canvas(size, pixel_mm).fit(image, (row_mm, column_mm))
    before = (image.astype(np.float64) + 1024).sum() * row_mm * column_mm
    after = (fitted.astype(np.float64) + 1024).sum() * pixel_mm**2
    np.testing.assert_allclose(after, before, rtol=1e-5)
    assert fitted.min() >= -1024
    assert fitted.max() <= image.max()

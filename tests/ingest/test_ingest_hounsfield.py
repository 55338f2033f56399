"""Stored values into HU: padding before the rescale, both signs, every number per slice."""

from io import BytesIO

import numpy as np
import pytest
from dicom_files import content_of, ct
from hypothesis import given
from hypothesis import strategies as st
from pydicom.pixels.processing import apply_rescale

from ctrobust.ingest.hounsfield import hounsfield as hounsfield_of
from ctrobust.ingest.hounsfield import read_rescale
from ctrobust.ingest.layout import read_layout
from ctrobust.ingest.opening import open_dicom
from ctrobust.ingest.pixels import read_frame

# Taller than the rows that are rescaled at a time, and no multiple of them.
RAMP = np.linspace(0, 3000, 600).astype(np.int16).reshape(150, 4)


def hounsfield(dataset):
    stream = BytesIO(content_of(dataset))
    file = open_dicom(stream)
    layout = read_layout(file)
    return hounsfield_of(read_frame(stream, layout), layout, read_rescale(file.dataset, layout))


@pytest.mark.parametrize("slope", [1, 2.0002442, 0.5])
@pytest.mark.parametrize("intercept", [-1024, 0, -0.1])
@pytest.mark.parametrize("kind", [np.int16, np.uint16])
@pytest.mark.parametrize("display", ["MONOCHROME1", "MONOCHROME2"])
def test_hu_is_pydicoms_own_arithmetic_rounded_once(slope, intercept, kind, display):
    dataset = ct(
        RAMP.astype(kind), RescaleSlope=slope, RescaleIntercept=intercept, PhotometricInterpretation=display
    )
    exact = apply_rescale(dataset.pixel_array, dataset)
    image_hu = hounsfield(dataset)
    assert image_hu.dtype == np.float32
    np.testing.assert_array_equal(image_hu, np.maximum(exact, -1024).astype(np.float32))


@given(
    st.integers(-4000, 4000).filter(bool),
    st.one_of(st.integers(-(2**25), 2**25), st.integers(-2048, 0)),
    st.sampled_from([np.int16, np.uint16]),
)
def test_whole_numbers_are_rounded_once_too(slope, intercept, kind):
    stored = np.arange(2**16).astype(kind).reshape(256, 256)
    expected = stored.astype(np.float64) * slope + intercept
    found = hounsfield(ct(stored, RescaleSlope=slope, RescaleIntercept=intercept))
    np.testing.assert_array_equal(found, np.maximum(expected, -1024).astype(np.float32))


@pytest.mark.parametrize(
    ("kind", "raw", "elements"),
    [
        (np.int16, 500, {"PixelPaddingValue": 500}),
        (np.int16, -2000, {"PixelPaddingValue": -2000}),
        (np.uint16, 63536, {"PixelPaddingValue": 63536}),
        (np.int16, 450, {"PixelPaddingValue": 400, "PixelPaddingRangeLimit": 500}),
        (np.int16, 500, {"PixelPaddingValue": 500, "PixelPaddingRangeLimit": 400}),
        (np.int16, -3000, {}),
        (np.int16, -3000, {"PixelPaddingValue": -2000}),
    ],
)
def test_padding_and_whatever_is_below_reads_minus_1024(kind, raw, elements):
    stored = np.full((16, 16), 1000, kind)
    stored[0, :3] = raw
    image_hu = hounsfield(ct(stored, RescaleIntercept=-1000, **elements))
    assert (image_hu[0, :3] == -1024).all()
    assert (image_hu[1:] == 0).all()


def test_padding_written_unsigned_in_a_signed_slice():
    """LIDC-IDRI-0001: PixelPaddingValue 63536 (US), pixels signed; with a slope so that clipping cannot help."""
    stored = np.full((16, 16), 1000, np.int16)
    stored[0, 0] = -2000
    dataset = ct(stored, RescaleSlope=-1, RescaleIntercept=1000)
    dataset.add_new("PixelPaddingValue", "US", 63536)
    image_hu = hounsfield(dataset)
    assert image_hu[0, 0] == -1024
    assert image_hu[1, 1] == 0


def test_padding_in_the_bits_above_bits_stored():
    stored = np.full((16, 16), 1000, np.int16)
    stored[0, 0] = -32768
    dataset = ct(stored, RescaleIntercept=0, BitsStored=12, HighBit=11, PixelPaddingValue=-32768)
    assert hounsfield(dataset)[0, 0] == -1024


def test_a_value_beside_the_padding_is_kept():
    stored = np.full((16, 16), 501, np.int16)
    assert (hounsfield(ct(stored, PixelPaddingValue=500)) == 501 - 1024).all()

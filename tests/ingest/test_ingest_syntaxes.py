"""Every encoding of a slice: one real slice in fifteen, and small ones made here."""

import numpy as np
import pydicom
import pytest
from dicom_files import ct, save
from pydicom.pixels.utils import compress
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    RLELossless,
)

from ctrobust.ingest import Pseudonyms, read_slices, scan
from ctrobust.ingest.layout import plugin

PSEUDONYMS = Pseudonyms(bytes(32))

# Largest and root-mean-square difference from the plain slice, HU, as found; a bound a little above each.
LOSSES = {
    "1.2.840.10008.1.2.4.50": (65, 21),  # 8 bits, a slope of 32: half a step is 16
    "1.2.840.10008.1.2.4.51": (36, 5.7),
    "1.2.840.10008.1.2.4.81": (1, 0.84),
    "1.2.840.10008.1.2.4.91": (5, 1.0),
}
NO_DECODER = {"1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.55"}


def read(path):
    headers = scan([path])
    return headers, [*headers.refused, *read_slices(headers, PSEUDONYMS)]


@pytest.fixture(scope="module")
def variants(shared):
    paths = sorted((shared("dicom") / "cornerstone_syntaxes").glob("CTImage*"))
    by_syntax = {str(pydicom.filereader.read_file_meta_info(path).TransferSyntaxUID): path for path in paths}
    # CTImage.dcm is implicit little endian too.
    assert (len(paths), len(by_syntax)) == (16, 15)
    return by_syntax


@pytest.fixture(scope="module")
def plain(variants):
    path = variants["1.2.840.10008.1.2.1"]
    dataset = pydicom.dcmread(path)
    hu = dataset.pixel_array.astype(float) * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    return np.maximum(hu, -1024).astype(np.float32)


def test_every_lossless_variant_is_bit_equal(variants, plain):
    lossless = set(variants) - set(LOSSES) - NO_DECODER
    assert len(lossless) == 9
    for syntax in lossless:
        headers, (record,) = read(variants[syntax])
        assert record.image_hu.dtype == np.float32
        np.testing.assert_array_equal(record.image_hu, plain, err_msg=syntax)
        assert not headers.slices[0].lossy


@pytest.mark.parametrize("syntax", LOSSES)
def test_lossy_variants_differ_by_their_loss_alone(variants, plain, syntax):
    headers, (record,) = read(variants[syntax])
    assert headers.slices[0].lossy
    inside = plain > -1000
    error = (record.image_hu - plain)[inside]
    most, rms = LOSSES[syntax]
    assert 0 < abs(error).max() <= most
    assert np.sqrt((error**2).mean()) <= rms


def test_a_lossy_encoding_is_lossy_whatever_the_header_says(variants, tmp_path):
    for syntax in set(LOSSES) - {"1.2.840.10008.1.2.4.91"}:  # which may be either
        dataset = pydicom.dcmread(variants[syntax])
        del dataset.LossyImageCompression
        assert scan([save(dataset, tmp_path / syntax)]).slices[0].lossy


@pytest.mark.parametrize("syntax", sorted(NO_DECODER))
def test_what_nobody_decodes_is_refused_by_name(variants, syntax):
    _, (refused,) = read(variants[syntax])
    assert refused.reason == "its transfer syntax cannot be decoded here: convert it first"
    assert "JPEG" in refused.detail


def test_together_they_are_one_slice_and_the_lossless_one_is_taken(variants, plain):
    headers = scan(variants.values())
    assert len(headers.series) == 1
    outcomes = list(read_slices(headers, PSEUDONYMS))
    taken = [outcome for outcome in outcomes if hasattr(outcome, "image_hu")]
    assert len(taken) == 1
    np.testing.assert_array_equal(taken[0].image_hu, plain)
    assert {outcome.reason for outcome in outcomes if outcome is not taken[0]} == {
        "duplicate of a slice already taken",
        "duplicate: another slice at its position in its series was taken",
    }


def test_a_decoder_is_chosen_by_name_and_never_pillow():
    for syntax in pydicom.uid.AllTransferSyntaxes:
        if syntax.is_encapsulated and not syntax.is_private and "JP3D" not in syntax.name:
            try:
                found = plugin(syntax)
            except Exception:
                continue
            assert found == ("pydicom" if syntax == RLELossless else "pylibjpeg"), syntax.name
    assert {plugin(syntax) for syntax in (JPEGBaseline8Bit, JPEGExtended12Bit, JPEG2000Lossless)} == {
        "pylibjpeg"
    }


@pytest.mark.parametrize("kind", [np.int16, np.uint16])
@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_signs_and_bits_survive_compression(tmp_path, kind, bits, syntax):
    low = -(2 ** (bits - 1)) if kind is np.int16 else 0
    stored = np.linspace(low, low + 2**bits - 1, 4096).astype(kind).reshape(64, 64)
    dataset = ct(stored, BitsStored=bits, HighBit=bits - 1, RescaleIntercept=40000)
    compress(dataset, syntax)
    _, (record,) = read(save(dataset, tmp_path / "slice"))
    np.testing.assert_array_equal(record.image_hu, stored.astype(np.float32) + 40000)

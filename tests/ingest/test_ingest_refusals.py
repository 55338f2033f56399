"""A bad file becomes a refusal with a plain reason, never a traceback, and says nothing of a person."""

import os
from io import BytesIO

import pytest
from dicom_files import SIZE, ct, save, write_ct
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
)

from ctrobust.ingest import Pseudonyms, Refused, find_files, read_slices, scan
from ctrobust.ingest.header import SliceHeader, read_headers
from ctrobust.ingest.refusal import RefusalError, refusing

PSEUDONYMS = Pseudonyms(bytes(32))


def outcomes(folder, **options):
    found = find_files([folder])
    headers = scan(found.files)
    return [*found.refused, *headers.refused, *read_slices(headers, PSEUDONYMS, **options)]


def only_refusal(folder):
    (refused,) = outcomes(folder)
    assert isinstance(refused, Refused)
    return refused


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"Modality": "MR"}, "not CT"),
        ({"Modality": None}, "not CT"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
        ({"NumberOfFrames": 2}, "fewer pixels in the file than"),
        ({"NumberOfFrames": 2, "PixelData": bytes(4 * SIZE * SIZE)}, "without a position for each"),
        ({"NumberOfFrames": 2**31 - 1}, "fewer pixels in the file than"),
        ({"SOPClassUID": EnhancedCTImageStorage}, "without a position for each"),
        ({"Rows": 65535, "Columns": 65535}, "impossible"),
        ({"Rows": 4096, "Columns": 4096}, "fewer pixels in the file than"),
        ({"BitsAllocated": 64}, "BitsAllocated or BitsStored impossible"),
        ({"BitsStored": 17, "HighBit": 16}, "BitsAllocated or BitsStored impossible"),
        ({"BitsStored": 12, "HighBit": 15}, "HighBit is not BitsStored - 1"),
        ({"PixelSpacing": [1e300, 1]}, "beyond any scanner"),
        ({"ImagePositionPatient": [0, 0, 1e300]}, "beyond any scanner"),
        ({"Rows": None}, "no pixels"),
        ({"PixelData": None}, "no pixels"),
        ({"PixelData": b"\0\0"}, "fewer pixels in the file than"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "greyscale"),
        ({"PixelSpacing": None}, "no PixelSpacing"),
        ({"PixelSpacing": ""}, "no PixelSpacing"),
        ({"PixelSpacing": [0, 0.5]}, "PixelSpacing is not positive"),
        ({"PixelSpacing": [0.5]}, "PixelSpacing is unusable"),
        ({"RescaleSlope": None}, "no RescaleSlope"),
        ({"RescaleIntercept": None}, "no RescaleIntercept"),
        ({"RescaleSlope": 0}, "RescaleSlope is zero"),
        ({"RescaleSlope": 1e300}, "beyond any HU"),
        ({"RescaleType": "US"}, "RescaleType is not HU"),
        ({"ImagePositionPatient": None}, "no ImagePositionPatient"),
        ({"ImageOrientationPatient": None}, "no ImageOrientationPatient"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "perpendicular"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "not an axial slice"),
    ],
)
def test_every_reason_is_plain(tmp_path, elements, reason):
    write_ct(tmp_path / "slice", **elements)
    refused = only_refusal(tmp_path)
    assert reason in refused.reason
    assert refused.sha256 is not None


@pytest.mark.parametrize(
    "content", [b"", b"plain text, no DICOM in here\n" * 20, b"\x08\x00\x05\x00CS", bytes(400)]
)
def test_not_dicom(tmp_path, content):
    (tmp_path / "notes.txt").write_bytes(content)
    assert only_refusal(tmp_path).reason == "not DICOM"


def test_a_missing_decoder_is_named(tmp_path, monkeypatch):
    dataset = ct(PixelData=encapsulate([b"stands for a JPEG-LS stream"]))
    dataset.file_meta.TransferSyntaxUID = JPEGLSLossless
    monkeypatch.setattr("pydicom.pixels.decoders.base.Decoder.available_plugins", ())
    save(dataset, tmp_path / "slice")
    refused = only_refusal(tmp_path)
    assert refused.reason == "no decoder installed for JPEG-LS Lossless Image Compression"
    assert "pylibjpeg" in refused.detail


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_a_file_without_preamble_or_extension_is_taken(tmp_path, syntax):
    stream = BytesIO()
    Dataset(ct()).save_as(stream, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
    (tmp_path / "I10").write_bytes(stream.getvalue())
    (taken,) = outcomes(tmp_path)
    assert taken.image_hu[0, 1] == 1 - 1024


def test_what_a_parser_quotes_stays_out_of_the_reason(tmp_path):
    dataset = ct()
    dataset.RescaleSlope = 12345
    content = BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    (tmp_path / "slice").write_bytes(content.getvalue().replace(b"12345", b"MUSTE"))
    refused = only_refusal(tmp_path)
    assert "MUSTE" not in refused.reason
    assert "MUSTE" in refused.detail
    assert "\n" not in refused.detail


@pytest.mark.parametrize(
    ("error", "reason", "detail"),
    [
        (PermissionError(13, "Permission denied", "/home/muster"), "cannot be read", "Permission denied"),
        (OSError("muster"), "odd", "OSError: muster"),
        (MemoryError(), "odd", "MemoryError:"),
        (ValueError("two\nlines \x1b[2J"), "odd", "ValueError: two lines \\x1b[2J"),
    ],
)
def test_whatever_goes_wrong_becomes_a_refusal(error, reason, detail):
    with pytest.raises(RefusalError) as caught, refusing("odd"):
        raise error
    assert (caught.value.reason, caught.value.detail.strip()) == (reason, detail)


def test_text_is_never_forced_through_the_parser(tmp_path, monkeypatch):
    monkeypatch.setattr("ctrobust.ingest.opening.dcmread", lambda *_, **__: pytest.fail("parsed"))
    (tmp_path / "notes").write_text("Modality CT, plainly\n" * 50)
    assert only_refusal(tmp_path).reason == "not DICOM"


def test_nothing_is_skipped_in_silence(tmp_path):
    write_ct(tmp_path / "slice")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "round").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / ".hidden").write_text("x")
    reasons = {entry.path.name: entry.reason for entry in outcomes(tmp_path) if isinstance(entry, Refused)}
    assert reasons == {"gone": "cannot be read", "pipe": "not a regular file", ".hidden": "not DICOM"}


def test_an_overlapping_folder_counts_each_file_once(tmp_path):
    write_ct(tmp_path / "inner" / "slice")
    assert len(find_files([tmp_path, tmp_path / "inner"]).files) == 1
    assert len(find_files([tmp_path / "inner", tmp_path]).files) == 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cut=st.integers(0, 1200), flips=st.lists(st.tuples(st.integers(0, 1199), st.integers(1, 255)), max_size=4)
)
def test_no_damage_raises(tmp_path, cut, flips):
    stream = BytesIO()
    ct(SOPInstanceUID="1.2.3.4.5").save_as(stream, enforce_file_format=True)
    content = bytearray(stream.getvalue())
    for place, flip in flips:
        content[place % len(content)] ^= flip
    path = tmp_path / "slice"
    path.write_bytes(content[:-cut] if cut else content)
    assert all(isinstance(outcome, SliceHeader | Refused) for outcome in read_headers(path))
    for result in read_slices(scan([path]), PSEUDONYMS):
        assert isinstance(result, Refused) or result.image_hu.min() >= -1024

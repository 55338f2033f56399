"""What counts as one slice, and which of its copies is taken: the same in any order of the files."""

import numpy as np
import pytest
from dicom_files import ct, save, write_ct
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLSLossless

from ctrobust.core.records import SliceRecord
from ctrobust.ingest import Pseudonyms, Refused, read_slices, scan

PSEUDONYMS = Pseudonyms(bytes(32))
NOISE = np.random.default_rng(0).normal(1000, 50, (64, 64)).astype(np.int16)


def ingest(paths):
    headers = scan(paths)
    outcomes = list(read_slices(headers, PSEUDONYMS))
    taken = [outcome for outcome in outcomes if isinstance(outcome, SliceRecord)]
    return taken, [*headers.refused, *(entry for entry in outcomes if isinstance(entry, Refused))]


def test_one_object_is_taken_once_whatever_its_bytes_and_series(tmp_path):
    path = write_ct(tmp_path / "a", SOPInstanceUID="1.7")
    copy = tmp_path / "b"
    copy.write_bytes(path.read_bytes())
    other_bytes = write_ct(tmp_path / "c", SOPInstanceUID="1.7", SeriesInstanceUID="1.2.3.99")
    taken, refused = ingest([path, copy, other_bytes])
    assert len(taken) == 1
    assert {entry.reason for entry in refused} == {"duplicate of a slice already taken"}


def test_one_uid_for_all_slices_is_a_careless_export_and_no_duplicate(tmp_path):
    paths = [
        write_ct(tmp_path / str(z), SOPInstanceUID="1.7", ImagePositionPatient=[0, 0, z]) for z in range(3)
    ]
    assert len(ingest(paths)[0]) == 3


def test_one_uid_never_joins_two_patients(tmp_path):
    paths = [write_ct(tmp_path / name, SOPInstanceUID="1.7", PatientID=name) for name in "ab"]
    assert len(ingest(paths)[0]) == 2


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({}, {"LossyImageCompression": "01"}),
        ({}, {"ImageType": ["DERIVED", "PRIMARY", "AXIAL"]}),
        ({}, {"BitsStored": 12, "HighBit": 11}),
        (
            {"ImageType": ["DERIVED", "PRIMARY", "AXIAL"]},
            {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"], "LossyImageCompression": "01"},
        ),
    ],
)
def test_of_two_at_one_place_the_better_is_taken(tmp_path, better, worse):
    """Several pairs, so that the better one has the larger SHA-256 in some."""
    for z in range(6):
        place = {"ImagePositionPatient": [0, 0, z]}
        good = write_ct(tmp_path / f"{z}a", NOISE[:16, :16] + z, **place, **better)
        bad = write_ct(tmp_path / f"{z}b", NOISE[16:32, :16] + z, **place, **worse)
        for paths in ([good, bad], [bad, good]):
            taken, (refused,) = ingest(paths)
            assert refused.path == bad
            assert refused.reason == "duplicate: another slice at its position in its series was taken"
            assert taken[0].image_hu[0, 0] == NOISE[0, 0] + z - 1024


def test_of_equals_the_same_one_is_taken_under_any_name(tmp_path):
    paths = [write_ct(tmp_path / name, NOISE + i, SOPInstanceUID=f"1.{i}") for i, name in enumerate("abc")]
    first = ingest(paths)[0][0].source_sha256
    renamed = [path.rename(path.with_name(f"z{9 - i}")) for i, path in enumerate(paths)]
    assert ingest(renamed[::-1])[0][0].source_sha256 == first


def test_a_broken_copy_does_not_cost_the_good_one(tmp_path):
    """Whichever of the two comes first: enough pairs that both orders occur."""
    broken = encapsulate([b"\xff\xd8 stands for a JPEG-LS stream"])
    for i in range(6):
        good = write_ct(tmp_path / f"{i}good", SOPInstanceUID=f"1.7.{i}")
        dataset = ct(SOPInstanceUID=f"1.7.{i}", PixelData=broken, StationName=str(i))
        dataset.file_meta.TransferSyntaxUID = JPEGLSLossless
        bad = save(dataset, tmp_path / f"{i}bad")
        taken, refused = ingest([good, bad])
        assert (len(taken), len(refused)) == (1, 1)
        assert refused[0].path == bad


def test_the_same_picture_under_two_patients_is_taken_once(tmp_path):
    """It would be trained on and judged on."""
    paths = [
        write_ct(tmp_path / name, NOISE, PatientID=name, ImagePositionPatient=[0, 0, z])
        for z, name in enumerate("ab")
    ]
    taken, (refused,) = ingest(paths)
    assert len(taken) == 1
    assert refused.reason == "duplicate: the same pixels as a slice of another patient already taken"


def test_an_empty_slice_may_come_again(tmp_path):
    blank = np.zeros((64, 64), np.int16)
    paths = [write_ct(tmp_path / str(z), blank, ImagePositionPatient=[0, 0, z]) for z in range(3)]
    assert len(ingest(paths)[0]) == 3


def test_one_pixel_makes_another_picture(tmp_path):
    """Whichever pixel, looked at or not when pictures are compared."""
    stored = np.random.default_rng(1).normal(1000, 50, (128, 128)).astype(np.int16)
    for z in range(4):
        stored[5, 7 + z] += 1
        write_ct(tmp_path / str(z), stored, ImagePositionPatient=[0, 0, z])
    assert len(ingest(tmp_path.iterdir())[0]) == 4

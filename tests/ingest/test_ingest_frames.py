"""Enhanced multi-frame CT: each frame is a slice with its own place, slope and kind."""

from io import BufferedReader, BytesIO

import numpy as np
import pytest
from dicom_files import content_of, ct, enhanced_ct, save, write_ct
from pydicom import Dataset, dcmwrite
from pydicom.encaps import encapsulate
from pydicom.pixels.utils import compress
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    LegacyConvertedEnhancedCTImageStorage,
    RLELossless,
)

from ctrobust.core.records import SliceRecord
from ctrobust.ingest import Pseudonyms, Refused, opening, read_slices, scan
from ctrobust.ingest.opening import open_dicom

PSEUDONYMS = Pseudonyms(bytes(32))
COUNT = 5
STORED = np.random.default_rng(1).integers(0, 2000, (COUNT, 16, 24)).astype(np.int16)
SHARED = {
    "PixelMeasures": {"PixelSpacing": [0.5, 0.75]},
    "PlaneOrientation": {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
    "PixelValueTransformation": {"RescaleSlope": 1, "RescaleIntercept": -1024, "RescaleType": "HU"},
}


def frame(z, **more):
    return {"PlanePosition": {"ImagePositionPatient": [0, 0, z]}, **more}


def outcomes(path):
    headers = scan([path])
    return headers, [*headers.refused, *read_slices(headers, PSEUDONYMS)]


@pytest.mark.parametrize("sop_class", [None, LegacyConvertedEnhancedCTImageStorage])
def test_frames_are_slices_in_order_of_their_place(tmp_path, sop_class):
    frames = [frame(z) for z in (4, -3, 8, 0, 1)]
    more = {"SOPClassUID": sop_class} if sop_class else {}
    _, records = outcomes(save(enhanced_ct(STORED, frames, SHARED, **more), tmp_path / "a"))
    assert [record.position_mm for record in records] == [-3, 0, 1, 4, 8]
    for record, index in zip(records, (1, 3, 4, 0, 2), strict=True):
        np.testing.assert_array_equal(record.image_hu, STORED[index].astype(np.float32) - 1024)
        assert record.pixel_mm == (0.5, 0.75)
    assert len({record.source_sha256 for record in records}) == 1


def test_what_a_frame_says_goes_before_what_all_share(tmp_path):
    own = {"PixelValueTransformation": {"RescaleSlope": 2, "RescaleIntercept": -500}}
    frames = [frame(z, **(own if z == 1 else {})) for z in range(COUNT)]
    _, records = outcomes(save(enhanced_ct(STORED, frames, SHARED), tmp_path / "a"))
    np.testing.assert_array_equal(records[1].image_hu, np.float32(2) * STORED[1] - 500)
    np.testing.assert_array_equal(records[2].image_hu, STORED[2].astype(np.float32) - 1024)


def test_frames_of_other_kinds_and_phases_are_kept_apart(tmp_path):
    kind = {"CTImageFrameType": {"FrameType": ["DERIVED", "PRIMARY", "VOLUME", "MAXIMUM"]}}
    late = {"FrameContent": {"TemporalPositionIndex": 2}}
    soft, sharp = ({"CTReconstruction": {"ConvolutionKernel": kernel}} for kernel in ("B30", "B70"))
    frames = [
        frame(0, **soft),
        frame(1, **kind),
        frame(0, **late, **soft),
        frame(0, **sharp),
        frame(2, **soft),
    ]
    headers, found = outcomes(save(enhanced_ct(STORED, frames, SHARED), tmp_path / "a"))
    assert [entry.reason for entry in headers.refused] == ["derived reformat, not a slice as scanned"]
    assert headers.refused[0].detail.startswith("frame 2: ")
    assert sorted(len(series.slices) for series in headers.series) == [1, 1, 2]
    assert len({record.series for record in found if isinstance(record, SliceRecord)}) == 3


@pytest.mark.parametrize("table", [True, False])
def test_encoded_frames_are_found_with_and_without_an_offset_table(tmp_path, table):
    dataset = enhanced_ct(STORED, [frame(z) for z in range(COUNT)], SHARED)
    compress(dataset, RLELossless)
    if not table:
        from pydicom.encaps import generate_frames

        dataset.PixelData = encapsulate(
            list(generate_frames(dataset.PixelData, number_of_frames=COUNT)), has_bot=False
        )
    _, records = outcomes(save(dataset, tmp_path / "a"))
    for record, stored in zip(records, STORED, strict=True):
        np.testing.assert_array_equal(record.image_hu, stored.astype(np.float32) - 1024)


def test_big_endian_frames(tmp_path):
    made = enhanced_ct(STORED, [frame(z) for z in range(COUNT)], SHARED)
    dataset = Dataset(made)
    dataset.file_meta = made.file_meta
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dataset.add_new("PixelData", "OW", STORED.astype(">i2").tobytes())
    dcmwrite(tmp_path / "a", dataset, enforce_file_format=True, implicit_vr=False, little_endian=False)
    _, records = outcomes(tmp_path / "a")
    np.testing.assert_array_equal(records[3].image_hu, STORED[3].astype(np.float32) - 1024)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"NumberOfFrames": COUNT - 1}, "not the number of frames described"),
        ({"NumberOfFrames": COUNT + 1}, "fewer pixels in the file"),
        ({"NumberOfFrames": 10**9}, "fewer pixels in the file"),
        ({"PerFrameFunctionalGroupsSequence": []}, "without a position for each"),
        ({"SharedFunctionalGroupsSequence": []}, "no RescaleSlope"),
        ({"PixelData": STORED[:3].tobytes()}, "fewer pixels in the file"),
    ],
)
def test_frames_that_do_not_add_up_are_refused_once(tmp_path, change, reason):
    dataset = enhanced_ct(STORED, [frame(z) for z in range(COUNT)], SHARED)
    for keyword, value in change.items():
        setattr(dataset, keyword, value)
    _, (refused,) = outcomes(save(dataset, tmp_path / "a"))
    assert isinstance(refused, Refused)
    assert reason in refused.reason


def test_a_frame_that_cannot_be_taken_costs_the_others_nothing(tmp_path):
    frames = [frame(z) for z in range(COUNT - 1)] + [{}]
    _, found = outcomes(save(enhanced_ct(STORED, frames, SHARED), tmp_path / "a"))
    assert [entry.reason for entry in found if isinstance(entry, Refused)] == ["no ImagePositionPatient"]
    assert sum(isinstance(entry, SliceRecord) for entry in found) == COUNT - 1


def test_one_frame_at_a_time_is_read(tmp_path, monkeypatch):
    """However many frames there are, no read asks for more than one, and the file is opened once."""
    path = save(enhanced_ct(STORED, [frame(z) for z in range(COUNT)], SHARED), tmp_path / "a")
    headers, asked, opened = scan([path]), [], []

    class Watched(BufferedReader):
        def read(self, size=-1):
            asked.append(size)
            return super().read(size)

    def watched(source):
        opened.append(source)
        return Watched(source.open("rb", buffering=0))

    monkeypatch.setattr("ctrobust.ingest.slices.open_source", watched)
    assert len(list(read_slices(headers, PSEUDONYMS))) == COUNT
    assert opened == [path]
    assert asked == [STORED[0].nbytes] * COUNT


@pytest.mark.parametrize("deflated", [False, True])
def test_a_deflated_file_of_many_frames_is_inflated_once_for_its_header_and_once_for_its_pixels(
    tmp_path, monkeypatch, deflated
):
    dataset = enhanced_ct(STORED, [frame(z) for z in range(COUNT)], SHARED)
    if deflated:
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path, calls = save(dataset, tmp_path / "a"), []
    inflate = opening.inflate
    monkeypatch.setattr(opening, "inflate", lambda stream: calls.append(stream) or inflate(stream))
    _, records = outcomes(path)
    for record, stored in zip(records, STORED, strict=True):
        np.testing.assert_array_equal(record.image_hu, stored.astype(np.float32) - 1024)
    assert len(calls) == (2 if deflated else 0)


def test_a_header_is_read_without_what_nobody_asked_for(tmp_path):
    """A private element may be of any length."""
    dataset = ct()
    dataset.private_block(0x0009, "MAKER", create=True).add_new(1, "OB", bytes(1 << 20))
    stream = BytesIO(content_of(dataset))
    opened = open_dicom(stream)
    assert 0x00091001 not in opened.dataset
    assert opened.pixel_bytes == 512
    assert scan([write_ct(tmp_path / "a")]).slices[0].frame == 0

"""Which images are slices as scanned: the rest is set aside with its reason."""

import pytest
from dicom_files import ct, save, write_ct
from pydicom import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
    MRImageStorage,
    RawDataStorage,
    SecondaryCaptureImageStorage,
    XRayRadiationDoseSRStorage,
)

from ctrobust.ingest import Refused
from ctrobust.ingest.header import SliceHeader, read_headers


def outcome(path):
    (found,) = read_headers(path)
    return found


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"Modality": "MR", "SOPClassUID": MRImageStorage}, "not CT but magnetic resonance"),
        ({"Modality": "PT"}, "not CT but positron emission"),
        (
            {"Modality": "SR", "SOPClassUID": XRayRadiationDoseSRStorage},
            "a structured report, such as a dose report",
        ),
        ({"Modality": "MUSTERFRAU"}, "not CT"),
        ({"SOPClassUID": BasicTextSRStorage}, "a structured report"),
        ({"SOPClassUID": SecondaryCaptureImageStorage}, "secondary capture"),
        ({"ConversionType": "WSD"}, "secondary capture"),
        ({"SOPClassUID": MRImageStorage}, "not a CT image, by its SOPClassUID"),
        ({"SOPClassUID": RawDataStorage, "PixelData": None}, "raw data of a scanner, not an image"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "SCOUT "]}, "localizer"),
        ({"ImageType": ["DERIVED", "SECONDARY", "DOSE_INFO"]}, "dose report"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "secondary capture"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, "derived reformat"),
        ({"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "MPR"]}, "derived reformat"),
        ({"ImageType": ["DERIVED", "SECONDARY", "REFORMATTED", "AVERAGE"]}, "derived reformat"),
        ({"ImageType": ["DERIVED", "PRIMARY", "PROJECTION IMAGE"]}, "derived reformat"),
        ({"ImageType": ["DERIVED", "PRIMARY", "CORONAL"]}, "derived reformat"),
        ({"ImageType": ["DERIVED", "PRIMARY", "AXIAL", "SUBTRACTION"]}, "computed map"),
        ({"ImageType": ["DERIVED", "SECONDARY", "PROCESSED"]}, "derived image, not said to be axial"),
        ({"ImageType": ["DERIVED", "PRIMARY"]}, "derived image, not said to be axial"),
    ],
)
def test_set_aside_with_the_reason(tmp_path, elements, reason):
    found = outcome(write_ct(tmp_path / "slice", **elements))
    assert isinstance(found, Refused)
    assert reason in found.reason
    assert "MUSTERFRAU" not in found.reason


@pytest.mark.parametrize(
    "elements",
    [
        {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]},
        {"ImageType": ["ORIGINAL", "SECONDARY", "AXIAL"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"]},
        {"ImageType": ["ORIGINAL", "PRIMARY"]},
        {"ImageType": None},
        {"ImageType": ["DERIVED ", "PRIMARY", "AXIAL"]},
        {"ImageType": ["DERIVED", "SECONDARY", "AXIAL"], "LossyImageCompression": "01"},
        {"ImageType": ["DERIVED", "PRIMARY"], "LossyImageCompression": "01"},
    ],
)
def test_what_is_still_an_axial_slice_is_taken(tmp_path, elements):
    assert isinstance(outcome(write_ct(tmp_path / "slice", **elements)), SliceHeader)


@pytest.mark.parametrize("implicit", [False, True])
def test_projections_are_named_as_such(tmp_path, implicit):
    """DICOM-CT-PD, as LDCT-and-Projection-data has it: a CT Image by its class, with a place or without."""
    projection = ct(ImagePositionPatient=None, PixelSpacing=None, RescaleSlope=1e-4)
    for group, element, value in ((0x7029, 0x1002, 1.2858), (0x7031, 0x1001, 1.5), (0x7031, 0x1003, 595.0)):
        projection.add_new((group, 0x0010), "LO", "DICOM-CT-PD")
        projection.add_new((group, element), "FL", value)
    projection.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    found = outcome(save(projection, tmp_path / "a"))
    assert found.reason.startswith("projections, not an image: ")
    # A private group of the same number but without a view's angle makes no projection.
    del projection[0x7031, 0x1001]
    assert outcome(save(projection, tmp_path / "b")).reason == "no PixelSpacing"


def test_an_old_export_names_no_class(tmp_path):
    Dataset(ct(SOPClassUID=None)).save_as(tmp_path / "slice", implicit_vr=True, little_endian=True)
    assert isinstance(outcome(tmp_path / "slice"), SliceHeader)


def test_a_dicomdir_is_set_aside_with_grace(tmp_path):
    directory = ct(
        SOPClassUID=None, Modality=None, PixelData=None, Rows=None, Columns=None, DirectoryRecordSequence=[]
    )
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = "1.2"
    assert (
        outcome(save(directory, tmp_path / "DICOMDIR")).reason == "DICOMDIR: an index of files, not a slice"
    )


def test_a_note_of_burned_in_names_is_passed_on(tmp_path):
    for value, burned_in in (("YES", True), ("NO", False), (None, False)):
        assert outcome(write_ct(tmp_path / "slice", BurnedInAnnotation=value)).burned_in is burned_in

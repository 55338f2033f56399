"""Values out of a header are pydicom's, whichever way they are read; plain ones without making an object of each."""

from io import BytesIO

import pytest
from dicom_files import ct
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from ctrobust.ingest.elements import Header, numbers, text, words

SYNTAXES = st.sampled_from([ExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian])
WORDS = st.lists(st.text("ABC_ 12", max_size=9), min_size=1, max_size=4)
NUMBERS = ("Rows", "RescaleSlope", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient")


def read(syntax=ExplicitVRLittleEndian, **elements):
    """The same data set read twice, since reading a value changes what pydicom holds of it."""
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = syntax.is_implicit_VR, syntax.is_little_endian
    write_dataset(stream, ct(**elements))
    content = stream.getvalue()
    first, second = (
        read_dataset(BytesIO(content), syntax.is_implicit_VR, syntax.is_little_endian) for _ in range(2)
    )
    return Header(first), second


@given(SYNTAXES, WORDS, WORDS, st.text("Ab1 _", max_size=9))
def test_text_is_pydicoms(syntax, kinds, kernels, patient):
    found, expected = read(syntax, ImageType=kinds, ConvolutionKernel=kernels, PatientID=patient)
    for keyword in ("ImageType", "ConvolutionKernel", "PatientID", "SOPInstanceUID", "Modality"):
        assert words(found, keyword) == words(expected, keyword)


@given(SYNTAXES, st.tuples(*[st.floats(-999, 999).map(lambda x: round(x, 6))] * 3), st.integers(0, 2**31 - 1))
def test_numbers_are_pydicoms(syntax, corner, number):
    found, expected = read(syntax, ImagePositionPatient=list(corner), AcquisitionNumber=number)
    for keyword in NUMBERS:
        count = len(expected[keyword].value) if expected[keyword].VM > 1 else 1
        assert numbers(found, keyword, count) == numbers(expected, keyword, count)
    assert text(found, "AcquisitionNumber") == str(number)


@pytest.mark.parametrize(
    ("charset", "name"),
    [("ISO_IR 100", "Müller"), ("ISO_IR 192", "Μύλλερ"), (["", "ISO 2022 IR 87"], "山田"), ("GB18030", "王")],
)
def test_other_alphabets_are_left_to_pydicom(charset, name):
    found, _ = read(SpecificCharacterSet=charset, PatientID=name)
    assert text(found, "PatientID") == name


def test_what_is_not_there_and_what_is_empty():
    found, expected = read(KVP=None, ConvolutionKernel="")
    for keyword in ("KVP", "ConvolutionKernel", "PixelPaddingValue", "PerFrameFunctionalGroupsSequence"):
        assert text(found, keyword) == text(expected, keyword) == ""
    assert found.get("PixelPaddingValue") is None


def test_no_object_is_made_of_a_plain_value():
    _, dataset = read()
    header = Header(dataset)
    for keyword in (*NUMBERS, "ImageType", "SOPInstanceUID"):
        assert header.get(keyword)
        assert isinstance(dataset.get_item(keyword), RawDataElement)

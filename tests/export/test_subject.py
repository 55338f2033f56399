"""Who stands in the header: only what a list allows."""

from io import BytesIO

import pytest
from dicom_files import content_of, ct
from pydicom.datadict import keyword_dict
from pydicom.dataset import Dataset

from ctrobust.export import kept, nobody, pseudonymous, read_source
from ctrobust.export.modules import COMPRESSIONS, EMPTY, MODULES, OF_THE_SLICE
from ctrobust.export.subject import encoded

KEY = bytes(range(32))
NAMES = ("p-1", "s-1", KEY)
PLANTED = "Musterfrau"


def source(**elements):
    """As it is read from a file, through every list."""
    return read_source(BytesIO(content_of(ct(**elements))))


def everywhere() -> Dataset:
    """A CT slice with a name, a date and numbers in every element of every list, private ones and nested ones."""
    image = ct(
        SpecificCharacterSet="ISO_IR 100", StudyInstanceUID="1.2.777.1", FrameOfReferenceUID="1.2.777.2"
    )
    image.PatientName, image.PatientID, image.PatientBirthDate = (
        f"{PLANTED}^Jürgen",
        f"{PLANTED}-1",
        "19710203",
    )
    image.StudyDescription, image.AccessionNumber, image.StudyID = f"{PLANTED} Schädel", "77712345", "777"
    image.StudyDate, image.StudyTime, image.PatientAge = "19990203", "070701.777", "077Y"
    image.PatientComments = image.Occupation = image.AdditionalPatientHistory = PLANTED
    image.InstitutionName = image.SeriesDescription = image.ProtocolName = f"{PLANTED} else"
    image.PositionReferenceIndicator = f"{PLANTED}"
    image.PatientPosition, image.SliceThickness = "FFP", "2.5"
    other = Dataset()
    other.PatientID, other.IssuerOfPatientID = f"{PLANTED}-2", "Klinikum Süd"
    other.private_block(0x11, "ACME", create=True).add_new(1, "LO", f"{PLANTED} private")
    image.OtherPatientIDsSequence = [other]
    image.private_block(0x11, "ACME", create=True).add_new(1, "LO", f"{PLANTED} private")
    return image


def test_every_listed_element_exists() -> None:
    listed = {*EMPTY, *OF_THE_SLICE, *(keyword for module in MODULES.values() for keyword in module)}
    assert listed <= set(keyword_dict)
    assert set(MODULES) == {"Patient", "General Study", "Patient Study", "Frame of Reference"}


def test_a_pseudonym_and_nothing_else() -> None:
    subject = pseudonymous(read_source(BytesIO(content_of(everywhere()))), *NAMES)
    header = subject.header
    assert header.PatientName == header.PatientID == "p-1"
    assert header.PatientIdentityRemoved == "YES"
    assert (header.PatientPosition, header.SliceThickness) == ("FFP", 2.5)
    content = encoded(header)
    for planted in (
        PLANTED,
        "19710203",
        "19990203",
        "1.2.777",
        "77712345",
        "rgen",
        "077Y",
        "ACME",
        "Klinikum",
    ):
        assert planted.encode() not in content
    filled = {element.keyword for element in header if element.value not in (None, "")}
    assert filled == {
        *("PatientName", "PatientID", "PatientIdentityRemoved", "DeidentificationMethod"),
        *("StudyInstanceUID", "FrameOfReferenceUID", "PatientPosition", "SliceThickness"),
    }


def test_studies_and_frames_stay_together_and_nobody_can_try_them_out() -> None:
    def uids(key=KEY, patient="p-1", series="s-1", **elements):
        header = pseudonymous(source(**elements), patient, series, key).header
        return header.StudyInstanceUID, header.FrameOfReferenceUID

    first = uids(FrameOfReferenceUID="1.2.3")
    assert uids(FrameOfReferenceUID="1.2.3", series="s-2") == first
    assert not {*uids(FrameOfReferenceUID="1.2.3", key=bytes(32))} & {*first}
    assert not {*uids(FrameOfReferenceUID="1.2.3", patient="p-2")} & {*first}
    assert uids(StudyInstanceUID="1.2.9", FrameOfReferenceUID="1.2.3")[0] != first[0]
    nameless = uids(StudyInstanceUID="", series="s-1")
    assert not {*nameless} & {*uids(StudyInstanceUID="", series="s-2")}
    assert nameless[0] != nameless[1]


def test_kept_is_the_sources_own_word_by_word() -> None:
    image = everywhere()
    subject = kept(read_source(BytesIO(content_of(image))), *NAMES)
    assert subject.left_out == ()
    assert (subject.patient, subject.series) == ("p-1", "s-1")
    written = Dataset()
    written.update(subject.header)
    written.SpecificCharacterSet = "ISO_IR 192"
    content = encoded(written)
    for keyword in (keyword for module in MODULES.values() for keyword in module):
        if keyword in image and keyword != "OtherPatientIDsSequence":
            assert subject.header[keyword].value == image[keyword].value
    # In UTF-8 now, nested text too; Latin-1 bytes would be another name.
    for said in ("Jürgen", "Schädel", "Klinikum Süd"):
        assert said.encode() in content
        assert said.encode("latin-1") not in content
    for not_listed in ("private", "else", "ACME"):
        assert not_listed.encode() not in content
    assert len(subject.header.OtherPatientIDsSequence[0]) == 2
    assert "PatientIdentityRemoved" not in subject.header


@pytest.mark.parametrize("uid", [None, "", "1.2..3", "Doe^Jane"])
@pytest.mark.filterwarnings("ignore")
def test_a_uid_that_is_none_is_replaced(uid, monkeypatch) -> None:
    from pydicom import config

    monkeypatch.setattr(config.settings, "_reading_validation_mode", config.WARN)
    monkeypatch.setattr(config.settings, "_writing_validation_mode", config.WARN)
    header = kept(source(StudyInstanceUID=uid, FrameOfReferenceUID="1.2.3"), *NAMES).header
    assert header.StudyInstanceUID.startswith("2.25.")
    assert header.FrameOfReferenceUID == "1.2.3"
    assert header.PatientID == "P1"


def test_what_cannot_be_read_is_left_out_and_named() -> None:
    content = content_of(ct(PatientWeight="81", PatientAge="081Y"))
    assert content.count(b"DS\x02\x0081") == 1
    subject = kept(read_source(BytesIO(content.replace(b"DS\x02\x0081", b"DS\x02\x00kg"))), *NAMES)
    assert subject.left_out == ("PatientWeight",)
    assert "PatientWeight" not in subject.header
    assert subject.header.PatientAge == "081Y"
    assert subject.header.PatientName == "Doe^Jane"


def test_burned_in_is_passed_on() -> None:
    assert kept(source(), *NAMES, burned_in=True).header.BurnedInAnnotation == "YES"
    assert "BurnedInAnnotation" not in kept(source(), *NAMES).header


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        ("PatientPosition", "FFDR", "FFDR"),
        ("PatientPosition", "DOE", None),
        ("SliceThickness", "0.625", 0.625),
        ("SliceThickness", "-1", None),
        ("SliceThickness", "", None),
        ("LossyImageCompressionMethod", "ISO_15444_1", "ISO_15444_1"),
        ("LossyImageCompressionMethod", "ISO_DOE", None),
        ("LossyImageCompressionRatio", "12.5", 12.5),
        ("LossyImageCompressionRatio", ["12.5", "2"], None),
    ],
)
def test_values_are_of_their_kind_or_absent(keyword, value, expected) -> None:
    header = pseudonymous(source(**{keyword: value}), *NAMES).header
    assert header.get(keyword) == expected
    assert {"ISO_15444_1", "ISO_10918_1"} <= COMPRESSIONS


def test_nobody_is_nobody() -> None:
    header = nobody("content").header
    assert [element.keyword for element in header if element.value] == [
        "StudyInstanceUID",
        "FrameOfReferenceUID",
    ]
    assert set(EMPTY) - {element.keyword for element in header} == set()
    assert nobody("content").header == header
    assert nobody("other").header.StudyInstanceUID != header.StudyInstanceUID

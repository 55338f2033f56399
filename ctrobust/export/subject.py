"""Whose images they are: a pseudonym, the source's own patient and study, or nobody. By allow-lists alone."""

import math
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.valuerep import format_number_as_ds

from ctrobust.export.modules import COMPRESSIONS, EMPTY, MODULES, OF_THE_SLICE, POSITIONS
from ctrobust.export.uids import derive_uid, is_uid

WANTED = [keyword for module in MODULES.values() for keyword in module] + list(OF_THE_SLICE)


@dataclass(frozen=True, eq=False)
class Subject:
    """What all images of a series share by their source.

    header           patient, study and frame of reference, and how the slices were taken
    patient, series  pseudonyms, whoever stands in the header; "" for nobody
    key              under which new UIDs are derived
    left_out         keywords that `kept` could not read in the source
    """

    header: Dataset = field(repr=False)
    patient: str = ""
    series: str = ""
    key: bytes = field(default=b"", repr=False)
    left_out: tuple[str, ...] = ()


def read_source(stream: BinaryIO) -> Dataset:
    """The elements of a DICOM file that may be asked for here, and no others; raises whatever pydicom raises."""
    return dcmread(stream, stop_before_pixels=True, force=True, specific_tags=list(WANTED))


def encoded(header: Dataset) -> bytes:
    """The elements as a file holds them: explicit VR, little endian."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, header)
    return buffer.getvalue()


def pseudonymous(source: Dataset, patient: str, series: str, key: bytes) -> Subject:
    """Of the source remain how the slices were taken and, as keyed hashes, its UIDs.

    patient, series: pseudonyms.
    """
    header = _complete(_taken_as(source))
    header.PatientName = header.PatientID = patient
    header.PatientIdentityRemoved = "YES"
    header.DeidentificationMethod = "ctrobust: pseudonym, nothing else of the source is kept"
    header.StudyInstanceUID = derive_uid(key, "study", patient, _uid(source, "StudyInstanceUID") or series)
    header.FrameOfReferenceUID = derive_uid(
        key, "frame", patient, _uid(source, "FrameOfReferenceUID") or series
    )
    return Subject(header, patient, series, key)


def kept(
    source: Dataset,
    patient: str,
    series: str,
    key: bytes,
    *,
    burned_in: bool = False,
) -> Subject:
    """The modules Patient, General Study, Patient Study and Frame of Reference of the source, word by word, for
    return to its archive; private elements within them are left out. UIDs that are missing or none are derived.
    """
    header, left_out = _taken_as(source), []
    for keyword in (keyword for module in MODULES.values() for keyword in module):
        try:
            if keyword in source:
                _copy(source, header, keyword)
        except Exception:  # the source's own mistakes, of any kind
            left_out.append(keyword)
    stand_in = pseudonymous(source, patient, series, key).header
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID"):
        if not is_uid(_uid(header, keyword)):
            setattr(header, keyword, stand_in[keyword].value)
    if burned_in:
        header.BurnedInAnnotation = "YES"
    return Subject(_complete(header), patient, series, key, tuple(left_out))


def nobody(*content: str) -> Subject:
    """No patient, for a bare sinogram; a study and frame of reference of their own for this `content`."""
    header = _complete(_taken_as(Dataset()))
    header.StudyInstanceUID = derive_uid(b"", "study", *content)
    header.FrameOfReferenceUID = derive_uid(b"", "frame", *content)
    return Subject(header)


def _complete(header: Dataset) -> Dataset:
    """What must be there, be it empty."""
    for keyword in EMPTY:
        if keyword not in header:
            setattr(header, keyword, None)
    return header


def _copy(source: Dataset, header: Dataset, keyword: str) -> None:
    element = source[keyword]
    for inner in element.value if element.VR == "SQ" else ():
        # Reads every element: unread ones would be written as they came, in a character set that is not ours.
        inner.remove_private_tags()
    alone = Dataset()
    alone.SpecificCharacterSet = "ISO_IR 192"
    alone.add(element)
    encoded(alone)  # now rather than among the files
    header.add(element)


def _taken_as(source: Dataset) -> Dataset:
    """Position on the table, thickness, how it was compressed: words and numbers that are checked one by one."""
    header = Dataset()
    position, method = _value(source, "PatientPosition"), _value(source, "LossyImageCompressionMethod")
    header.PatientPosition = position if position in POSITIONS else None
    header.SliceThickness = _decimal(_value(source, "SliceThickness"))
    ratio = _decimal(_value(source, "LossyImageCompressionRatio"))
    if ratio is not None:
        header.LossyImageCompressionRatio = ratio
    if method in COMPRESSIONS:
        header.LossyImageCompressionMethod = method
    return header


def _value(source: Dataset, keyword: str) -> Any:
    try:
        return source.get(keyword)
    except Exception:  # a value that its own type does not allow
        return None


def _uid(source: Dataset, keyword: str) -> str:
    value = _value(source, keyword)
    return value if isinstance(value, str) else ""


def _decimal(value: Any) -> str | None:
    """A positive finite number as DICOM writes it, or None."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return format_number_as_ds(number) if 0 < number < math.inf else None

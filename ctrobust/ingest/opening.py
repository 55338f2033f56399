"""A stream into a DICOM header and the place of its pixels, with or without the preamble."""

import os
from dataclasses import dataclass
from functools import cached_property
from struct import unpack
from typing import BinaryIO

from pydicom import Dataset, FileDataset, dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from ctrobust.ingest.elements import Header
from ctrobust.ingest.refusal import RefusalError, refusing
from ctrobust.ingest.spool import inflate, spool

PREAMBLE = 128
MARK = b"DICM"
DEFLATED = DeflatedExplicitVRLittleEndian.encode()
HEAD = 2048
"""Bytes within which a transfer syntax stands."""
MOST_INFLATED = 512 << 20
"""Bytes a deflated data set may grow to: 1024 frames of 512x512."""
UNDEFINED = 0xFFFFFFFF

# A private element may hold anything, of any length: only these are ever read into memory.
WANTED = [
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "FrameOfReferenceUID",
    "PatientID",
    "Modality",
    "ImageType",
    "ConversionType",
    "BurnedInAnnotation",
    "AcquisitionNumber",
    "ConvolutionKernel",
    "KVP",
    "GantryDetectorTilt",
    "TemporalPositionIdentifier",
    "TriggerTime",
    "NominalPercentageOfCardiacPhase",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "LossyImageCompression",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]
VIEW_ANGLE = BaseTag(0x70311001)
"""DetectorFocalCenterAngularPosition, private: every projection in the format DICOM-CT-PD has it, no image does."""
WANTED_TAGS = [*(BaseTag(tag) for tag in map(tag_for_keyword, WANTED) if tag is not None), VIEW_ANGLE]
PIXEL_DATA = 0x7FE00010
PIXEL_TAGS = (PIXEL_DATA, 0x7FE00009, 0x7FE00008)


@dataclass(frozen=True)
class DicomFile:
    """A header, and where the value of its PixelData lies; None where it has none.

    pixel_bytes  how many bytes there are, whatever the file declares
    body_at      where in the file a deflated data set begins, and `pixels_at` counts in the inflated one; or None
    """

    dataset: FileDataset
    pixels_at: int | None
    pixel_bytes: int
    body_at: int | None

    @cached_property
    def header(self) -> Header:
        """Its values, one by one."""
        return Header(self.dataset)


def open_dicom(stream: BinaryIO) -> DicomFile:
    """Read a stream that stands at its beginning up to its pixels; raises RefusalError where it is not DICOM
    or breaks off.
    """
    head = stream.read(HEAD)
    stream.seek(0)
    bare = head[PREAMBLE : PREAMBLE + len(MARK)] != MARK
    if bare and not _begins_like_dicom(head):
        raise RefusalError("not DICOM", "" if head else "empty file")
    with refusing("not DICOM" if bare else "damaged DICOM"):
        body_at = None if bare or DEFLATED not in head else _deflated_at(stream)
        if body_at is None:
            dataset = _parsed(stream, bare)
        else:
            dataset, stream = _inflated(stream, body_at)
        if bare and "SOPClassUID" not in dataset and "Modality" not in dataset:
            raise RefusalError("not DICOM")
        _complete_syntax(dataset)
        return DicomFile(dataset, *_pixels(dataset, stream), body_at)


def inflated(stream: BinaryIO, body_at: int) -> BinaryIO:
    """The inflated data set of a file; raises RefusalError where it breaks off or grows beyond measure."""
    stream.seek(body_at)
    # pydicom would inflate the whole of it at once, however much that is.
    return spool(inflate(stream), MOST_INFLATED, f"inflates to more than {MOST_INFLATED >> 20} MiB")


def _begins_like_dicom(head: bytes) -> bool:
    """A file without preamble starts at group 0002 or 0008: pydicom would force text into elements too."""
    return len(head) >= 8 and head[:2] in (b"\x02\x00", b"\x08\x00") and head[3] == 0


def _parsed(stream: BinaryIO, bare: bool) -> FileDataset:
    try:
        return dcmread(stream, stop_before_pixels=True, force=bare, specific_tags=WANTED_TAGS)
    except InvalidDicomError as error:
        raise RefusalError("not DICOM") from error


def _meta(stream: BinaryIO) -> Dataset:
    """The elements before the data set, and the stream at its beginning."""
    stream.seek(PREAMBLE + len(MARK))
    return read_dataset(stream, False, True, stop_when=lambda tag, *_: BaseTag(tag).group != 2)


def _deflated_at(stream: BinaryIO) -> int | None:
    """Where the deflated data set of a file begins; None, and the stream at its beginning, where it is none."""
    deflated = _meta(stream).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian
    place = stream.tell()
    stream.seek(0)
    return place if deflated else None


def _inflated(stream: BinaryIO, body_at: int) -> tuple[FileDataset, BinaryIO]:
    meta, body = _meta(stream), inflated(stream, body_at)
    header = read_dataset(
        body, False, True, stop_when=lambda tag, *_: tag in PIXEL_TAGS, specific_tags=[*WANTED_TAGS]
    )
    dataset = FileDataset(None, header, file_meta=FileMetaDataset(meta))  # type: ignore[arg-type]
    dataset.set_original_encoding(False, True)
    return dataset, body


def _complete_syntax(dataset: FileDataset) -> None:
    """Old exports name no transfer syntax; the decoder needs the one by which the parser got through."""
    if dataset.file_meta.get("TransferSyntaxUID"):
        return
    implicit, little = dataset.original_encoding
    if implicit:
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    else:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def _pixels(dataset: FileDataset, stream: BinaryIO) -> tuple[int | None, int]:
    """(offset, bytes there) of the value of PixelData, at whose tag the parser stopped."""
    implicit, little = dataset.original_encoding
    order = "<" if little else ">"
    start = stream.tell()
    element = stream.read(8 if implicit else 12)
    if len(element) < (8 if implicit else 12):
        return None, 0
    group, number = unpack(f"{order}HH", element[:4])
    if (group << 16 | number) != PIXEL_DATA:
        return None, 0
    (length,) = unpack(f"{order}L", element[-4:])
    there = stream.seek(0, os.SEEK_END) - start - len(element)
    return start + len(element), there if length == UNDEFINED else min(length, there)

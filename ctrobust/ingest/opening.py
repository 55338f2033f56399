"""Bytes into a DICOM data set, with or without the preamble; anything else is "not DICOM"."""

from typing import BinaryIO

from pydicom import FileDataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from ctrobust.ingest.refusal import RefusalError, refusing

PREAMBLE = 128
MARK = b"DICM"


def open_dicom(stream: BinaryIO, *, pixels: bool) -> FileDataset:
    """The data set in a stream that stands at its beginning; without `pixels`, only what comes before them.

    Raises RefusalError where it is not DICOM or breaks off.
    """
    head = stream.read(PREAMBLE + len(MARK))
    stream.seek(0)
    bare = head[PREAMBLE:] != MARK
    if bare and not _begins_like_dicom(head):
        raise RefusalError("not DICOM", "" if head else "empty file")
    with refusing("not DICOM" if bare else "damaged DICOM"):
        try:
            dataset = dcmread(stream, stop_before_pixels=not pixels, force=bare)
        except InvalidDicomError as error:
            raise RefusalError("not DICOM") from error
        if bare and "SOPClassUID" not in dataset and "Modality" not in dataset:
            raise RefusalError("not DICOM")
        _complete_syntax(dataset)
    return dataset


def _begins_like_dicom(head: bytes) -> bool:
    """A file without preamble starts at group 0002 or 0008: pydicom would force text into elements too."""
    return len(head) >= 8 and head[:2] in (b"\x02\x00", b"\x08\x00") and head[3] == 0


def _complete_syntax(dataset: FileDataset) -> None:
    """Old exports name no transfer syntax; the decoder needs the one by which the parser got through."""
    if dataset.file_meta.get("TransferSyntaxUID"):
        return
    implicit, little = dataset.original_encoding
    if implicit:
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    else:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if little else ExplicitVRBigEndian

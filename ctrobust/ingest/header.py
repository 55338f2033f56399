"""One file's header into a checked description of its slice, or a refusal with a plain reason."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import FileDataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, EnhancedCTImageStorage

from ctrobust.core.files import sha256_of
from ctrobust.ingest.opening import open_dicom
from ctrobust.ingest.refusal import RefusalError, Refused, refusing

MOST_TILT = math.radians(45)
"""A normal further than this from the body's axis is a coronal, sagittal or oblique view, not a scanned slice."""


@dataclass(frozen=True)
class SliceHeader:
    """A slice that may be taken. `patient`, `series`, `instance` are the source's own and stay in ingest.

    size         (rows, columns)
    pixel_mm     (row spacing, column spacing)
    position_mm  along the normal of the slice
    """

    path: Path
    sha256: str
    size: tuple[int, int]
    pixel_mm: tuple[float, float]
    position_mm: float
    patient: str = field(repr=False)
    series: str = field(repr=False)
    instance: str = field(repr=False)


def read_header(path: Path) -> SliceHeader | Refused:
    """Read a file up to its pixels and check what can be checked without them; never raises for its content."""
    sha256 = None
    try:
        with refusing("damaged DICOM"):
            sha256 = sha256_of(path)
            with path.open("rb") as stream:
                dataset = open_dicom(stream, pixels=False)
            return _checked(dataset, path, sha256)
    except RefusalError as refusal:
        return Refused(path, sha256, refusal.reason, refusal.detail)


def _checked(dataset: FileDataset, path: Path, sha256: str) -> SliceHeader:
    _check_kind(dataset)
    _check_pixel_layout(dataset)
    _check_decoder(dataset.file_meta.TransferSyntaxUID)
    _check_rescale(dataset)
    row_mm, column_mm = _numbers(dataset, "PixelSpacing", 2)
    if not (row_mm > 0 and column_mm > 0):
        raise RefusalError("PixelSpacing is not positive")
    patient, series, instance = _identity(dataset, sha256)
    return SliceHeader(
        path=path,
        sha256=sha256,
        size=(int(dataset.Rows), int(dataset.Columns)),
        pixel_mm=(row_mm, column_mm),
        position_mm=float(np.dot(_numbers(dataset, "ImagePositionPatient", 3), _normal(dataset))),
        patient=patient,
        series=series,
        instance=instance,
    )


def _check_kind(dataset: FileDataset) -> None:
    modality = _text(dataset, "Modality")
    if modality != "CT":
        raise RefusalError("not CT", f"Modality {modality}" if modality else "no Modality")
    if "LOCALIZER" in _text(dataset, "ImageType").upper():
        raise RefusalError("localizer, not a slice")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1 or _text(dataset, "SOPClassUID") == EnhancedCTImageStorage:
        raise RefusalError("multi-frame files are not read yet; export it as single slices")


def _check_pixel_layout(dataset: FileDataset) -> None:
    if not all(dataset.get(keyword) for keyword in ("Rows", "Columns", "BitsAllocated")):
        raise RefusalError("no pixels")
    # MONOCHROME1 is about display alone (low values white): the way from stored value to HU is the same.
    if _text(dataset, "PhotometricInterpretation") not in ("MONOCHROME1", "MONOCHROME2"):
        raise RefusalError("not a greyscale image")


def _check_decoder(syntax: UID) -> None:
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise RefusalError("its transfer syntax cannot be decoded", syntax.name) from None
    if not decoder.is_available:
        needs = "; ".join(line.partition(" requires ")[2] for line in decoder.missing_dependencies)
        raise RefusalError(f"no decoder installed for {syntax.name}", f"install one of: {needs}")


def _check_rescale(dataset: FileDataset) -> None:
    (slope,), _ = _numbers(dataset, "RescaleSlope", 1), _numbers(dataset, "RescaleIntercept", 1)
    if slope == 0:
        raise RefusalError("RescaleSlope is zero")
    if _text(dataset, "RescaleType") not in ("", "HU"):
        raise RefusalError("RescaleType is not HU", _text(dataset, "RescaleType"))


def _normal(dataset: FileDataset) -> NDArray[np.float64]:
    along_row, along_column = np.reshape(_numbers(dataset, "ImageOrientationPatient", 6), (2, 3))
    normal = np.cross(along_row, along_column)
    lengths = np.linalg.norm([along_row, along_column, normal], axis=1)
    if not np.allclose(lengths, 1, atol=0.01):
        raise RefusalError("ImageOrientationPatient is not two perpendicular directions")
    if abs(normal[2]) < math.cos(MOST_TILT):
        raise RefusalError("not an axial slice")
    unit: NDArray[np.float64] = normal / lengths[2]
    return unit


def _identity(dataset: FileDataset, sha256: str) -> tuple[str, str, str]:
    """(patient, series, instance). Without a patient's ID the study stands for the patient, then the series,
    then the file: two nameless patients must never become one. Each kind has its own prefix, so that an ID
    cannot meet a UID; the series is the patient's, so that a careless export cannot join two patients.
    """
    study, series, instance = (
        _text(dataset, keyword) for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    )
    fallbacks = [
        ("id", _text(dataset, "PatientID")),
        ("study", study),
        ("series", series),
        ("file", sha256),
    ]
    patient = next(f"{kind}/{value}" for kind, value in fallbacks if value)
    return patient, f"{patient}/{study}/{series}", instance or sha256


def _text(dataset: FileDataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip(" \0")


def _numbers(dataset: FileDataset, keyword: str, count: int) -> list[float]:
    value = dataset.get(keyword)
    if value is None or value == "":
        raise RefusalError(f"no {keyword}")
    numbers = np.atleast_1d(np.asarray(value, dtype=np.float64))
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise RefusalError(f"{keyword} is unusable")
    return [float(number) for number in numbers]

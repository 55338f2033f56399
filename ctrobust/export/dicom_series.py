"""Images in HU as a series of CT Image Storage files: geometry, rescale, window, new UIDs; no clock is read.

All attributes of types 1 and 2 of the mandatory modules of the CT Image IOD (DICOM PS3.3 A.3).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

from ctrobust.export.derivation import Derivation
from ctrobust.export.plane import Plane
from ctrobust.export.subject import Subject, encoded
from ctrobust.export.uids import derive_uid

SLOPE, INTERCEPT = 1, -1024
"""HU = SLOPE·stored + INTERCEPT: whole HU, so that what is read back is off by half a HU at most."""
LOWEST_HU, HIGHEST_HU = INTERCEPT - 2**15, INTERCEPT + 2**15 - 1
"""What 16 bits with sign hold, −33792 … 31743 HU: no tissue and no metal is cut off, f's excursions hardly ever."""
WINDOWS = {"SOFT TISSUE": (40, 400), "LUNG": (-600, 1500)}
"""(centre, width) in HU; a viewer opens with the first."""
FIRST_NUMBER = 9001
"""Of the series: scanners count theirs from 1."""


@dataclass(frozen=True)
class ImageSeries:
    """Slices of one series, in order.

    image_hu   (N, H, W), finite; may be mapped from a file, one slice is held at a time
    planes     N of (H, W) pixels
    lossy      N times whether the source was compressed with loss, once and so for ever; () for never
    number     of the series in its study, counted from 0
    comment    what else a reader of the header should know
    """

    image_hu: NDArray[np.float32]
    planes: Sequence[Plane]
    subject: Subject
    derivation: Derivation
    lossy: Sequence[bool] = ()
    number: int = 0
    comment: str = ""


def write_series(series: ImageSeries, folder: Path) -> list[Path]:
    """Write `folder`/0001.dcm and on, in the order of the slices; returns the paths.

    The same series gives the same bytes; with anything different in pixels, places, patient or derivation the
    series, and each image in it, has another UID.
    """
    header = _header(series)
    folder.mkdir()
    digits = max(4, len(str(len(series.planes))))
    slices = zip(series.image_hu, series.planes, _lossy(series), strict=True)
    paths = []
    for number, (image_hu, plane, lossy) in enumerate(slices, start=1):
        image = Dataset()
        image.update(header)
        image.InstanceNumber = number
        image.SOPInstanceUID = derive_uid(series.subject.key, header.SeriesInstanceUID, str(number))
        _add_place(image, plane)
        _add_loss(image, lossy)
        _add_pixels(image, image_hu)
        paths.append(folder / f"{number:0{digits}d}.dcm")
        _save(image, paths[-1])
    return paths


def stored_from_hu(image_hu: NDArray[np.float32]) -> NDArray[np.int16]:
    """Stored values of the same shape, rounded to whole HU and cut off at LOWEST_HU and HIGHEST_HU."""
    stored = np.rint((image_hu.astype(np.float64) - INTERCEPT) / SLOPE)
    return np.clip(stored, -(2**15), 2**15 - 1).astype(np.int16)


def beyond_range(image_hu: NDArray[np.float32]) -> int:
    """How many pixels `stored_from_hu` cuts off."""
    return int(np.count_nonzero((image_hu < LOWEST_HU - 0.5) | (image_hu > HIGHEST_HU + 0.5)))


def _header(series: ImageSeries) -> Dataset:
    """What all images of the series share."""
    header = Dataset()
    header.update(series.subject.header)
    header.update(series.derivation.elements())
    header.SpecificCharacterSet = "ISO_IR 192"
    header.SOPClassUID = CTImageStorage
    header.Modality = "CT"
    header.SeriesNumber = FIRST_NUMBER + series.number
    if series.comment:
        header.ImageComments = series.comment
    key, name = series.subject.key, series.subject.series
    header.SeriesInstanceUID = derive_uid(key, "series", name, *_content(series, header))
    return header


def _lossy(series: ImageSeries) -> list[bool]:
    return list(series.lossy or [False] * len(series.planes))


def _content(series: ImageSeries, header: Dataset) -> tuple[str, str, str]:
    """Everything in the files that is not fixed: two series of one UID are one series."""
    digest = sha256()
    for image_hu in series.image_hu:
        digest.update(stored_from_hu(image_hu).tobytes())
    places = repr([list(series.planes), _lossy(series)])
    return encoded(header).hex(), places, digest.hexdigest()


def _add_place(image: Dataset, plane: Plane) -> None:
    image.ImagePositionPatient = _decimals(plane.corner_mm)
    image.ImageOrientationPatient = _decimals(plane.orientation)
    image.PixelSpacing = _decimals(plane.pixel_mm)
    rows_mm, columns_mm = (length * mm for length, mm in zip(plane.size, plane.pixel_mm, strict=True))
    image.ReconstructionDiameter = format_number_as_ds(max(rows_mm, columns_mm))


def _add_loss(image: Dataset, lossy: bool) -> None:
    if lossy:
        image.LossyImageCompression = "01"
        return
    for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        if keyword in image:
            delattr(image, keyword)


def _add_pixels(image: Dataset, image_hu: NDArray[np.float32]) -> None:
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows, image.Columns = image_hu.shape
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit = 15
    image.PixelRepresentation = 1
    image.RescaleSlope, image.RescaleIntercept, image.RescaleType = SLOPE, INTERCEPT, "HU"
    image.WindowCenter = [centre for centre, _ in WINDOWS.values()]
    image.WindowWidth = [width for _, width in WINDOWS.values()]
    image.WindowCenterWidthExplanation = list(WINDOWS)
    image.PixelData = stored_from_hu(image_hu).astype("<i2").tobytes()


def _decimals(values: Sequence[float]) -> list[str]:
    """As DICOM writes them: at most 16 characters each, and no −0."""
    return [format_number_as_ds(float(value) + 0.0) for value in values]


def _save(image: Dataset, path: Path) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = image.SOPClassUID
    meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta = meta
    image.save_as(path, enforce_file_format=True)

"""One patient as a DICOM CT series: CT Image Storage, explicit VR little endian, whole headers.

All attributes of types 1 and 2 of the mandatory modules of the CT Image IOD (PS3.3 A.3), and a few others.
"""

from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from .anatomy import Patient
from .scanners import Scanner

DATE, TIME = "20200101", "120000"
"""Fictional, and the same for all: no clock is read."""
IMPLEMENTATION_UID = generate_uid(entropy_srcs=["ctrobust_datasets.synthetic"])


def write_series(patient: Patient, folder: Path, *, label: str, scanner: Scanner, study: str) -> list[Path]:
    """Write `folder`/SYN-`label`/CT/IM0001.dcm and on; returns the files in the order of their numbers.

    `study` is what the UIDs are derived from: give another for other pixels. Overwrites what is there.
    """
    target = folder / f"SYN-{label}" / "CT"
    target.mkdir(parents=True, exist_ok=True)
    order = range(len(patient.positions_mm))
    paths = []
    for number, index in enumerate(reversed(order) if scanner.head_first else order, start=1):
        image = Dataset()
        _add_patient(image, patient, label)
        _add_study_and_series(image, study, label)
        _add_equipment(image, patient, scanner)
        _add_place(image, patient, index, number, _uid(study, "image", number))
        _add_pixels(image, patient, index, scanner)
        paths.append(target / f"IM{number:04d}.dcm")
        _save(image, paths[-1])
    return paths


def _uid(study: str, *part: str | int) -> str:
    return generate_uid(entropy_srcs=["/".join(["ctrobust-synthetic", study, *map(str, part)])])


def _add_patient(image: Dataset, patient: Patient, label: str) -> None:
    image.PatientName = f"Phantom^{label}"
    image.PatientID = f"SYN-{label}"
    image.PatientBirthDate = ""
    image.PatientSex = "F" if patient.female else "M"
    image.PatientIdentityRemoved = "YES"
    image.DeidentificationMethod = "Computer-drawn phantom: no person was imaged"
    image.PatientPosition = "HFS"


def _add_study_and_series(image: Dataset, study: str, label: str) -> None:
    image.SpecificCharacterSet = "ISO_IR 192"
    image.StudyInstanceUID = _uid(study, "study")
    image.SeriesInstanceUID = _uid(study, "series")
    image.FrameOfReferenceUID = _uid(study, "frame")
    image.PositionReferenceIndicator = ""
    image.StudyDate = image.SeriesDate = image.AcquisitionDate = image.ContentDate = DATE
    image.StudyTime = image.SeriesTime = image.AcquisitionTime = image.ContentTime = TIME
    image.StudyID = label
    image.StudyDescription = "Synthetic chest and abdomen"
    image.SeriesDescription = "Synthetic axial CT"
    image.AccessionNumber = ""
    image.ReferringPhysicianName = ""
    image.SeriesNumber = 2
    image.AcquisitionNumber = 1


def _add_equipment(image: Dataset, patient: Patient, scanner: Scanner) -> None:
    image.Modality = "CT"
    image.Manufacturer = scanner.manufacturer
    image.ManufacturerModelName = scanner.model
    image.SoftwareVersions = "synthetic"
    image.KVP = scanner.kvp
    image.ConvolutionKernel = scanner.kernel
    image.ReconstructionDiameter = _decimal(patient.pixel_mm * patient.volume_hu.shape[1])
    image.GantryDetectorTilt = 0
    image.BodyPartExamined = "CHEST"
    image.RotationDirection = "CW"


def _add_place(image: Dataset, patient: Patient, index: int, number: int, uid: str) -> None:
    """Where the slice lies: +x to the patient's left, +y to the back, +z to the head."""
    size = patient.volume_hu.shape[1]
    corner = -(size - 1) / 2 * patient.pixel_mm
    height = patient.positions_mm[index]
    image.SOPClassUID = CTImageStorage
    image.SOPInstanceUID = uid
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.InstanceNumber = number
    image.ImagePositionPatient = [_decimal(corner), _decimal(corner), _decimal(height)]
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.SliceLocation = _decimal(height)
    image.SliceThickness = _decimal(patient.thickness_mm)
    image.SpacingBetweenSlices = _decimal(patient.spacing_mm)
    image.PixelSpacing = [_decimal(patient.pixel_mm)] * 2


def _add_pixels(image: Dataset, patient: Patient, index: int, scanner: Scanner) -> None:
    stored = scanner.store(patient.volume_hu[index])
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows, image.Columns = stored.shape
    image.BitsAllocated = 16
    image.BitsStored = scanner.bits_stored
    image.HighBit = scanner.bits_stored - 1
    image.PixelRepresentation = int(scanner.signed)
    if scanner.padding is not None:
        image.PixelPaddingValue = scanner.padding
    image.RescaleIntercept = scanner.intercept
    image.RescaleSlope = 1
    image.RescaleType = "HU"
    image.WindowCenter = [40, -600]
    image.WindowWidth = [400, 1500]
    image.PixelData = stored.tobytes()


def _save(image: Dataset, path: Path) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = image.SOPClassUID
    meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    meta.ImplementationVersionName = "CTROBUST_SYN"
    image.file_meta = meta
    image.save_as(path, enforce_file_format=True)


def _decimal(value: float) -> str:
    """A DICOM decimal string: at most 16 characters."""
    return f"{value:.8g}"

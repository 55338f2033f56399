"""The embedded data set: the same bytes each time, HU that survive the files, whole headers."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from ctrobust_datasets.synthetic import Patient, draw_patient, patient_seed, write_dicom
from ctrobust_datasets.synthetic.scanners import SCANNERS, outside_circle
from pydicom.dataset import FileDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

PATIENTS, SLICES, SIZE = 4, 4, 64

TYPE_1 = """
    SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID Modality
    ImageType PixelSpacing ImageOrientationPatient ImagePositionPatient SamplesPerPixel
    PhotometricInterpretation Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation
    RescaleIntercept RescaleSlope RescaleType PixelData PatientIdentityRemoved DeidentificationMethod
"""
TYPE_2 = """
    PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime ReferringPhysicianName
    StudyID AccessionNumber SeriesNumber PositionReferenceIndicator Manufacturer InstanceNumber
    SliceThickness KVP AcquisitionNumber PatientPosition ContentDate ContentTime
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synthetic")
    write_dicom(out, patients=PATIENTS, slices=SLICES, size=SIZE, seed=3)
    return out


@pytest.fixture(scope="module")
def drawn() -> list[Patient]:
    return [draw_patient(patient_seed(3, number), SLICES, SIZE) for number in range(PATIENTS)]


@pytest.fixture(scope="module")
def series(folder: Path) -> list[list[FileDataset]]:
    return [
        [pydicom.dcmread(path) for path in sorted((folder / f"SYN-P{number:02d}" / "CT").iterdir())]
        for number in range(PATIENTS)
    ]


@pytest.fixture(scope="module")
def whole_trunk() -> list[tuple[float, np.ndarray]]:
    """(height, slice) of one patient from the kidneys to the arch."""
    patient = draw_patient(1, 30, 96)
    return list(zip(patient.positions_mm, patient.volume_hu, strict=True))


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.dcm"))
    }


def hu_of(image: FileDataset) -> np.ndarray:
    return image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept)


def test_same_bytes_in_another_process_for_fewer_patients(folder: Path, tmp_path: Path) -> None:
    arguments = f"{tmp_path} --patients 2 --slices {SLICES} --size {SIZE} --seed 3".split()
    subprocess.run([sys.executable, "-m", "ctrobust_datasets.synthetic", *arguments], check=True)
    again, before = digests(tmp_path), digests(folder)
    assert len(again) == 2 * SLICES
    assert again == {name: before[name] for name in again}


def test_another_seed_writes_other_pixels_and_uids(series: list[list[FileDataset]], tmp_path: Path) -> None:
    write_dicom(tmp_path, patients=1, slices=1, size=SIZE, seed=4)
    other = pydicom.dcmread(tmp_path / "SYN-P00" / "CT" / "IM0001.dcm")
    assert other.PixelData != series[0][0].PixelData
    assert other.StudyInstanceUID != series[0][0].StudyInstanceUID


def test_files_hold_the_drawn_hu_to_half_a_step(
    series: list[list[FileDataset]], drawn: list[Patient]
) -> None:
    for images, patient in zip(series, drawn, strict=True):
        heights = list(patient.positions_mm)
        for image in images:
            expected = patient.volume_hu[heights.index(float(image.ImagePositionPatient[2]))]
            padded = image.pixel_array == image.get("PixelPaddingValue")
            assert np.abs(hu_of(image) - expected)[~padded].max() <= 0.5 + 1e-3


def test_padding_is_declared_and_lies_only_outside_the_circle(series: list[list[FileDataset]]) -> None:
    for images, scanner in zip(series, SCANNERS, strict=True):
        for image in images:
            assert image.get("PixelPaddingValue") == scanner.padding
            if scanner.padding is not None:
                assert np.array_equal(image.pixel_array == scanner.padding, outside_circle(SIZE))


def test_scanners_disagree_as_real_ones_do(series: list[list[FileDataset]]) -> None:
    kinds = {
        (image.PixelRepresentation, int(image.RescaleIntercept)) for images in series for image in images
    }
    assert kinds == {(0, -1024), (1, -1024), (1, 0)}
    assert len({images[0].KVP for images in series}) > 1
    assert len({images[0].ConvolutionKernel for images in series}) > 1


def test_place_of_the_pixels(series: list[list[FileDataset]], drawn: list[Patient]) -> None:
    for images, patient in zip(series, drawn, strict=True):
        corner = -(SIZE - 1) / 2 * patient.pixel_mm
        for image in images:
            assert image.ImageOrientationPatient == [1, 0, 0, 0, 1, 0]
            assert image.PixelSpacing == pytest.approx([patient.pixel_mm] * 2, rel=1e-6)
            assert image.ImagePositionPatient[:2] == pytest.approx([corner, corner], rel=1e-6)
            assert 300 <= image.PixelSpacing[0] * image.Columns <= 440
            assert image.SliceThickness <= patient.spacing_mm


def test_slices_are_numbered_along_the_body_and_evenly_spaced(series: list[list[FileDataset]]) -> None:
    for images, scanner in zip(series, SCANNERS, strict=True):
        assert [image.InstanceNumber for image in images] == list(range(1, SLICES + 1))
        steps = np.diff([float(image.ImagePositionPatient[2]) for image in images])
        assert np.all(steps < 0 if scanner.head_first else steps > 0)
        assert np.abs(steps) == pytest.approx(float(images[0].SpacingBetweenSlices), abs=2e-3)
        assert 7.99 < abs(steps[0]) < 12.01


def test_uids_are_valid_and_shared_only_where_they_should_be(series: list[list[FileDataset]]) -> None:
    every = [image for images in series for image in images]
    counts = {"SOPInstanceUID": len(every), "SeriesInstanceUID": PATIENTS, "StudyInstanceUID": PATIENTS}
    for name, count in counts.items():
        uids = {image[name].value for image in every}
        assert len(uids) == count
        assert all(UID(uid).is_valid for uid in uids)
    assert len({image.FrameOfReferenceUID for image in every}) == PATIENTS


def test_headers_are_whole(series: list[list[FileDataset]]) -> None:
    for image in (image for images in series for image in images):
        assert [name for name in TYPE_1.split() if image.get(name) in (None, "")] == []
        assert [name for name in TYPE_2.split() if name not in image] == []
        assert image.preamble == bytes(128)
        assert image.SOPClassUID == image.file_meta.MediaStorageSOPClassUID == CTImageStorage
        assert image.file_meta.MediaStorageSOPInstanceUID == image.SOPInstanceUID
        assert image.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert image.HighBit == image.BitsStored - 1
        assert image.PatientIdentityRemoved == "YES"
        assert str(image.PatientName).startswith("Phantom^")


def test_every_value_fits_the_standard(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pydicom.config.settings, "reading_validation_mode", pydicom.config.RAISE)
    for path in folder.rglob("*.dcm"):
        assert len(list(pydicom.dcmread(path).iterall())) > 50


def test_patients_differ(drawn: list[Patient]) -> None:
    middles = [patient.volume_hu[SLICES // 2] for patient in drawn]
    for index, one in enumerate(middles):
        for other in middles[:index]:
            assert np.abs(one - other).mean() > 30
    assert len({patient.pixel_mm for patient in drawn}) > 1
    assert len({patient.positions_mm for patient in drawn}) == PATIENTS


def test_neighbouring_slices_differ(drawn: list[Patient]) -> None:
    for patient in drawn:
        assert np.abs(np.diff(patient.volume_hu, axis=0)).mean(axis=(1, 2)).min() > 8


def test_tissues_are_where_they_belong(whole_trunk: list[tuple[float, np.ndarray]]) -> None:
    for height, image in whole_trunk:
        body = image > -300
        share = {
            "fat": ((image > -140) & (image < -60)).sum() / body.sum(),
            "soft": ((image > 0) & (image < 120)).sum() / body.sum(),
            "bone": (image > 250).sum() / body.sum(),
            "lung": ((image > -920) & (image < -650))[24:72, 16:80].sum() / body.sum(),
        }
        assert share["fat"] > 0.1
        assert share["soft"] > 0.2
        assert 0.002 < share["bone"] < 0.12
        if height > 30:
            assert share["lung"] > 0.15
        if height < -90:
            assert share["lung"] < 0.03


def test_air_surrounds_the_body_and_12_bits_are_enough(
    whole_trunk: list[tuple[float, np.ndarray]],
) -> None:
    for _, image in whole_trunk:
        assert image[:4].mean() == pytest.approx(-1000, abs=5)
        assert image[:, 0].max() < -500
        assert image.min() > -1024
        assert image.max() < 3071


def test_a_long_scan_stays_within_the_anatomy() -> None:
    patient = draw_patient(0, 45, 32)
    assert patient.positions_mm[-1] - patient.positions_mm[0] <= 300
    assert np.all(np.diff(patient.positions_mm) > 0)
    assert patient.thickness_mm <= patient.spacing_mm


@pytest.mark.parametrize(("slices", "size"), [(0, 64), (1, 8)])
def test_impossible_sizes_are_refused(slices: int, size: int) -> None:
    with pytest.raises(ValueError, match="at least"):
        draw_patient(0, slices, size)


def test_no_patients_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="patients 0"):
        write_dicom(tmp_path, patients=0)
    assert not list(tmp_path.iterdir())


def test_progress_sees_every_patient(tmp_path: Path) -> None:
    seen: list[int] = []

    def watch(numbers):
        for number in numbers:
            seen.append(number)
            yield number

    write_dicom(tmp_path, patients=2, slices=1, size=16, progress=watch)
    assert seen == [0, 1]

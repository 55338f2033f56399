"""What a viewer, an archive and pydicom find in the files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from ctrobust.export import (
    HIGHEST_HU,
    LOWEST_HU,
    ImageSeries,
    beyond_range,
    nobody,
    stored_from_hu,
    write_series,
)


def hu_of(path: Path) -> np.ndarray:
    image = dcmread(path)
    return apply_modality_lut(image.pixel_array, image)


def test_read_back_to_within_half_a_hu(series: ImageSeries, tmp_path: Path) -> None:
    paths = write_series(series, tmp_path / "out")
    assert [path.name for path in paths] == ["0001.dcm", "0002.dcm", "0003.dcm"]
    for path, image_hu in zip(paths, series.image_hu, strict=True):
        off = hu_of(path) - image_hu.astype(np.float64)
        assert np.abs(off).max() <= 0.5
        assert (
            np.abs(off).max() > 0.4
        )  # of 30 random values: they are not kept finer than they are said to be


@given(st.floats(LOWEST_HU, HIGHEST_HU, width=32))
def test_half_a_hu_all_over_the_range(hu: float) -> None:
    stored = stored_from_hu(np.full((1, 1), hu, np.float32))
    assert stored.dtype == np.int16
    assert abs(float(stored[0, 0]) - 1024 - hu) <= 0.5


def test_beyond_the_range_is_cut_off_and_counted() -> None:
    image_hu = np.array([[-1e9, LOWEST_HU - 1, LOWEST_HU, HIGHEST_HU, HIGHEST_HU + 1, 1e9]], np.float32)
    ends = [LOWEST_HU] * 3 + [HIGHEST_HU] * 3
    np.testing.assert_array_equal(stored_from_hu(image_hu)[0].astype(int) - 1024, ends)
    assert beyond_range(image_hu) == 4
    assert (LOWEST_HU, HIGHEST_HU) == (-33792, 31743)


def test_the_first_window_shows_soft_tissue(series: ImageSeries, tmp_path: Path, other) -> None:
    """In HU, after the rescale: −160 is black, 240 is white, 40 in the middle."""
    hu = np.float32([-1024, -161, 40, 241, 3000])
    path = write_series(other(image_hu=np.broadcast_to(hu, (3, 6, 5))), tmp_path / "out")[0]
    image = dcmread(path)
    shown = apply_voi_lut(hu_of(path), image, index=0)[0]
    black, white = shown.min(), shown.max()
    assert shown[0] == shown[1] == black
    assert shown[3] == shown[4] == white
    assert shown[2] == pytest.approx((black + white) / 2, abs=0.002 * (white - black))
    assert list(image.WindowCenterWidthExplanation) == ["SOFT TISSUE", "LUNG"]
    assert (image.RescaleSlope, image.RescaleIntercept, image.RescaleType) == (1, -1024, "HU")


def test_geometry_is_the_planes(series: ImageSeries, tmp_path: Path) -> None:
    for path, plane in zip(write_series(series, tmp_path / "out"), series.planes, strict=True):
        image = dcmread(path)
        assert (image.Rows, image.Columns) == plane.size
        np.testing.assert_allclose(image.PixelSpacing, plane.pixel_mm, rtol=1e-12)
        np.testing.assert_allclose(image.ImagePositionPatient, plane.corner_mm, rtol=1e-12)
        np.testing.assert_allclose(image.ImageOrientationPatient, plane.orientation, rtol=1e-12)
        assert image.ReconstructionDiameter == 12
        assert image.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


def test_the_header_says_what_it_is(series: ImageSeries, tmp_path: Path) -> None:
    images = [dcmread(path) for path in write_series(series, tmp_path / "out")]
    for number, image in enumerate(images, start=1):
        assert image.SOPClassUID == CTImageStorage
        assert image.ImageType == ["DERIVED", "SECONDARY", "AXIAL"]
        assert image.SeriesDescription == "ctrobust minmax, not for clinical use"
        assert image.InstanceNumber == number
        for said in (
            "minmax",
            series.derivation.commit,
            "f" * 64,
            "36 views",
            "simulated",
            "Not for clinical use.",
        ):
            assert said in image.DerivationDescription
        (equipment,) = image.ContributingEquipmentSequence
        assert equipment.Manufacturer == image.Manufacturer == "ctrobust"
        assert list(equipment.SoftwareVersions) == ["0.1.0", f"commit {series.derivation.commit}"]
        assert image.ConvolutionKernel == "minmax"
        assert image.PatientName == image.PatientID == ""


def test_words_fit_their_elements(tmp_path: Path, other, series: ImageSeries) -> None:
    """The longest method, a version without commit: pydicom refuses what is too long."""
    derivation = replace(series.derivation, method="weight_decay", commit=None, simulated=False)
    image = dcmread(write_series(other(derivation=derivation, comment="…" * 900), tmp_path / "out")[0])
    assert image.SoftwareVersions == "0.1.0"
    assert "as it was given" in image.DerivationDescription
    assert "commit unknown" in image.DerivationDescription
    assert len(image.SeriesDescription) <= 64


def test_uids_are_of_the_content(series: ImageSeries, tmp_path: Path, other) -> None:
    """The same series gives the same bytes; whatever differs in it makes it another, with other images."""

    def uids(name: str, changed: ImageSeries) -> tuple[str, list[str]]:
        images = [dcmread(path) for path in write_series(changed, tmp_path / name)]
        (series_uid,) = {image.SeriesInstanceUID for image in images}
        instances = [image.SOPInstanceUID for image in images]
        assert len(set(instances)) == len(images)
        assert [image.file_meta.MediaStorageSOPInstanceUID for image in images] == instances
        return series_uid, instances

    first = uids("first", series)
    assert uids("again", series) == first
    for again in sorted((tmp_path / "again").iterdir()):
        assert again.read_bytes() == (tmp_path / "first" / again.name).read_bytes()
    brighter = series.image_hu.copy()
    brighter[2, 5, 4] += 1
    moved = [*series.planes[:2], replace(series.planes[2], corner_mm=(0, 0, 8))]
    changes = {
        "pixel": {"image_hu": brighter},
        "place": {"planes": moved},
        "number": {"number": 1},
        "comment": {"comment": "another"},
        "lossy": {"lossy": [False, False, True]},
        "patient": {"subject": nobody("someone else")},
        "method": {"derivation": replace(series.derivation, method="erm")},
        "commit": {"derivation": replace(series.derivation, commit=None)},
    }
    for name, change in changes.items():
        series_uid, instances = uids(name, other(**change))
        assert series_uid != first[0], name
        assert not {*instances} & {*first[1]}, name


def test_loss_is_said_of_the_slices_that_had_it(series: ImageSeries, tmp_path: Path, other) -> None:
    series.subject.header.LossyImageCompressionRatio = "10"
    series.subject.header.LossyImageCompressionMethod = "ISO_10918_1"
    paths = write_series(other(lossy=[True, False, False]), tmp_path / "out")
    first, second, _ = map(dcmread, paths)
    assert (first.LossyImageCompression, first.LossyImageCompressionRatio) == ("01", 10)
    assert not [element for element in second if element.keyword.startswith("Lossy")]

"""Files into patients, series and an order that only the content decides."""

from itertools import pairwise

import numpy as np
import pytest
from dicom_files import write_ct

from ctrobust.ingest import Pseudonyms, Refused, read_slices, scan

PSEUDONYMS = Pseudonyms(bytes(32))


def ingest(paths, key=PSEUDONYMS, **options):
    headers = scan(paths)
    assert not headers.refused
    return list(read_slices(headers, key, **options))


def test_slices_come_by_position_along_the_normal(tmp_path):
    tilt = np.radians(-18.5)
    orientation = [1, 0, 0, 0, np.cos(tilt), np.sin(tilt)]
    normal = np.cross(orientation[:3], orientation[3:])
    depths = [30, -5, 12.5]
    for i, depth in enumerate(depths):
        write_ct(
            tmp_path / str(i),
            ImageOrientationPatient=[round(float(value), 9) for value in orientation],
            ImagePositionPatient=[round(float(value), 6) for value in depth * normal],
        )
    records = ingest(tmp_path.iterdir())
    np.testing.assert_allclose([record.position_mm for record in records], sorted(depths), atol=1e-4)


def test_directions_that_are_nearly_perpendicular_are_made_so(tmp_path):
    path = write_ct(tmp_path / "a", ImageOrientationPatient=[1.001, 0, 0, 0.004, 1, 0.003])
    (header,) = scan([path]).slices
    row, column, normal = np.array(header.orientation[:3]), np.array(header.orientation[3:]), header.normal
    np.testing.assert_allclose([row @ row, column @ column, row @ column], [1, 1, 0], atol=1e-12)
    np.testing.assert_allclose(normal, np.cross(row, column), atol=1e-12)


@pytest.fixture
def six_slices(tmp_path):
    """Two patients, one with two series."""
    paths = []
    for i in range(6):
        paths.append(
            write_ct(
                tmp_path / f"{i}.dcm",
                SOPInstanceUID=f"1.9.{i}",
                PatientID=f"P{i // 4}",
                SeriesInstanceUID=f"1.2.{i // 2}",
                ImagePositionPatient=[0, 0, -i],
            )
        )
    return paths


def test_the_order_knows_neither_names_nor_the_key(six_slices, tmp_path):
    usual = ingest(six_slices)
    renamed = [path.rename(tmp_path / f"{9 - i}-x") for i, path in enumerate(six_slices)]
    other = ingest(renamed[::-1], Pseudonyms(bytes(range(32))))
    assert [record.source_sha256 for record in usual] == [record.source_sha256 for record in other]
    assert len({record.patient for record in usual}) == len({record.patient for record in other}) == 2
    assert not {record.patient for record in usual} & {record.patient for record in other}


def test_series_and_patients_stand_together(six_slices):
    records = ingest(six_slices)
    for names in ([record.series for record in records], [record.patient for record in records]):
        changes = sum(a != b for a, b in pairwise(names))
        assert changes == len(set(names)) - 1


@pytest.mark.parametrize(
    ("first", "second", "patients"),
    [
        ({"PatientID": "A", "StudyInstanceUID": "1.1"}, {"PatientID": "A", "StudyInstanceUID": "1.2"}, 1),
        ({"PatientID": "A"}, {"PatientID": " A "}, 1),
        ({"PatientID": "A"}, {"PatientID": "B"}, 2),
        ({"PatientID": "", "StudyInstanceUID": "1.1"}, {"PatientID": None, "StudyInstanceUID": "1.2"}, 2),
        ({"PatientID": "", "StudyInstanceUID": "1.1"}, {"PatientID": "  ", "StudyInstanceUID": "1.1"}, 1),
        ({"PatientID": "1.1"}, {"PatientID": "", "StudyInstanceUID": "1.1"}, 2),
        (
            {"PatientID": "", "StudyInstanceUID": None, "SeriesInstanceUID": "1.5"},
            {"PatientID": "", "StudyInstanceUID": None, "SeriesInstanceUID": "1.6"},
            2,
        ),
        (
            {"PatientID": "", "StudyInstanceUID": None, "SeriesInstanceUID": "1.5"},
            {"PatientID": "", "StudyInstanceUID": None, "SeriesInstanceUID": "1.5"},
            1,
        ),
        (
            {"PatientID": "", "StudyInstanceUID": None, "SeriesInstanceUID": None},
            {"PatientID": "", "StudyInstanceUID": None, "SeriesInstanceUID": None},
            2,
        ),
    ],
)
def test_who_is_one_patient(tmp_path, first, second, patients):
    paths = [
        write_ct(tmp_path / str(z), **given, ImagePositionPatient=[0, 0, z])
        for z, given in enumerate((first, second))
    ]
    assert len({record.patient for record in ingest(paths)}) == patients


def test_one_series_uid_never_joins_two_patients(tmp_path):
    paths = [write_ct(tmp_path / name, PatientID=name) for name in "ab"]
    assert len({record.series for record in ingest(paths)}) == 2


def test_the_most_common_size_wins_and_the_cure_is_named(tmp_path):
    small, large = np.zeros((16, 16), np.int16), np.zeros((24, 24), np.int16)
    paths = [
        write_ct(tmp_path / str(i), stored, ImagePositionPatient=[0, 0, i])
        for i, stored in enumerate([small, small, large])
    ]
    (refused,) = [outcome for outcome in ingest(paths) if isinstance(outcome, Refused)]
    assert "24x24" in refused.reason
    assert "--size" in refused.reason
    assert all(record.image_hu.shape == (16, 16) for record in ingest(paths, size=16))

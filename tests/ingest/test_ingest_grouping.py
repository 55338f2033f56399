"""What must not be mixed in one series, and what was found out about the stack of slices."""

import numpy as np
import pytest
from dicom_files import write_ct

from ctrobust.ingest import Pseudonyms, Refused, read_slices, scan

PSEUDONYMS = Pseudonyms(bytes(32))


def write(folder, number, z, **elements):
    return write_ct(folder / str(number), **({"ImagePositionPatient": [0, 0, z]} | elements))


def stack(folder, positions, **elements):
    return [write(folder, i, z, **elements) for i, z in enumerate(positions)]


def geometry(paths):
    (series,) = scan(paths).series
    return series.geometry


@pytest.mark.parametrize(
    ("keyword", "first", "second"),
    [
        ("ConvolutionKernel", "B30f", "B70f"),
        ("AcquisitionNumber", 1, 2),
        ("KVP", 80, 140),
        ("FrameOfReferenceUID", "1.5", "1.6"),
        ("PixelSpacing", [0.5, 0.5], [0.6, 0.6]),
        ("PixelSpacing", [0.5, 0.5], [0.5, 0.502]),
        ("ImageOrientationPatient", [1, 0, 0, 0, 1, 0], [-1, 0, 0, 0, -1, 0]),
        ("ImageOrientationPatient", [1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0.9998, 0.02]),
        ("TemporalPositionIdentifier", 1, 2),
        ("NominalPercentageOfCardiacPhase", 40, 75),
        ("TriggerTime", 300, 600),
        ("ImageType", ["ORIGINAL", "PRIMARY", "AXIAL", "E_80"], ["ORIGINAL", "PRIMARY", "AXIAL", "E_140"]),
        ("SeriesInstanceUID", "1.2.3.4", "1.2.3.5"),
        ("SeriesNumber", 1, 2),
        ("PatientID", "P1", "P2"),
    ],
)
def test_what_differs_in_this_is_never_one_series(tmp_path, keyword, first, second):
    """Two stacks at the same places, in one folder and, but for the last three, under one SeriesInstanceUID."""
    uid = {"SeriesInstanceUID": None} if keyword == "SeriesNumber" else {}
    paths = [
        write(tmp_path, 2 * z + i, z, **uid, **{keyword: value})
        for z in range(3)
        for i, value in enumerate((first, second))
    ]
    found = scan(paths)
    assert [len(series.slices) for series in found.series] == [3, 3]
    records = list(read_slices(found, PSEUDONYMS))
    assert not [entry for entry in records if isinstance(entry, Refused)]
    assert len({record.series for record in records}) == 2
    assert all(series.geometry.spacing_mm == pytest.approx(1, abs=1e-3) for series in found.series)


@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("ImageOrientationPatient", [[1, 0, 0, 0, 1, 1e-5 * i] for i in range(6)]),
        ("PixelSpacing", [[0.5 + 1e-5 * i, 0.5] for i in range(6)]),
        ("TriggerTime", [100 * i for i in range(6)]),
        ("AcquisitionNumber", list(range(6))),
        ("ImageType", [["ORIGINAL", "PRIMARY", "AXIAL"], ["DERIVED", "PRIMARY", "AXIAL", "LOSSY"]] * 3),
        ("SliceThickness", [5, 5, 5, 10, 10, 10]),
        ("KVP", ["120", "120.0", "1.2e2", "120", " 120 ", "120.00"]),
    ],
)
def test_noise_clocks_and_steps_of_one_scan_make_no_second_series(tmp_path, keyword, values):
    paths = [write(tmp_path, z, z, **{keyword: value}) for z, value in enumerate(values)]
    assert [len(series.slices) for series in scan(paths).series] == [6]


@pytest.mark.parametrize(
    ("numbers", "positions"),
    [
        ([1, 1, 1, 2, 2, 2], [0, 1, 2, 3, 4, 5]),
        ([1, 2, 3, 4, 1, 2], [0, 1, 2, 3, 4, 5]),
        ([1, 2, 3, 4, 5, 6], [0, 1, 2, 13, 14, 15]),
        ([1, 2, 3, 4, 5, 6], [0, 1, 2, 0, 4, 5]),
        ([1, 1, 2, 2, 3, 3, 4, 4], [0, 1, 1, 2, 2, 3, 3, 4]),
    ],
)
def test_acquisitions_are_steps_only_where_they_make_one_even_stack(tmp_path, numbers, positions):
    paths = [
        write(tmp_path, i, z, AcquisitionNumber=number)
        for i, (number, z) in enumerate(zip(numbers, positions, strict=True))
    ]
    assert len(scan(paths).series) == len(set(numbers))


def test_the_names_of_series_do_not_depend_on_what_else_is_there(tmp_path):
    """A later run that finds another kernel must not rename what is in the store."""
    alone = stack(tmp_path, range(3), ConvolutionKernel="B30f")
    more = [write(tmp_path, 9 + z, z, ConvolutionKernel="B70f") for z in range(3)]
    names = [
        {record.source_sha256: record.series for record in read_slices(scan(paths), PSEUDONYMS)}
        for paths in (alone, [*more, *alone])
    ]
    assert names[0].items() <= names[1].items()


def test_an_even_stack_has_nothing_to_say(tmp_path):
    found = geometry(stack(tmp_path, [5, 2.5, 0, 7.5, 10.004]))
    assert (found.spacing_mm, found.gaps, found.variable, found.tilt_deg, str(found)) == (
        2.5,
        (),
        False,
        0,
        "",
    )


def test_a_missing_slice_is_a_gap_and_a_copy_is_none(tmp_path):
    found = geometry(stack(tmp_path, [0, 1, 2, 2, 4, 5, 6, 8, 9, 10, 11]))
    assert found.gaps == ((2, 4), (6, 8))
    assert not found.variable
    assert str(found) == "2 gaps"


@pytest.mark.parametrize(
    "positions", [[0, 1, 2, 3.2, 4.4, 5.6], [0, 1, 2, 3, 4, 6, 8, 10], [0, 1, 2, 3.7, 4.7, 5.7]]
)
def test_variable_spacing_is_found(tmp_path, positions):
    assert geometry(stack(tmp_path, positions)).variable


def test_one_slice_has_no_spacing(tmp_path):
    assert geometry(stack(tmp_path, [3])).spacing_mm is None


@pytest.mark.parametrize("turned", [False, True])
def test_a_tilted_gantry_is_found_by_the_drift(tmp_path, turned):
    """The table moves along the body, the slices lean; a stack moved along its own normal is upright."""
    tilt = np.radians(-18.5)
    along = np.array([0, np.cos(tilt), np.sin(tilt)])
    step = np.cross([1, 0, 0], along) if turned else np.array([0, 0, 1])
    paths = [
        write(
            tmp_path,
            i,
            0,
            ImageOrientationPatient=[1, 0, 0, *np.round(along, 9)],
            ImagePositionPatient=list(np.round(5 * i * step, 9)),
        )
        for i in range(4)
    ]
    assert geometry(paths).tilt_deg == pytest.approx(0 if turned else 18.5, abs=1e-3)


def test_a_tilt_that_only_the_header_knows_is_found(tmp_path):
    found = geometry(stack(tmp_path, range(3), GantryDetectorTilt=-12.5))
    assert found.tilt_deg == 12.5
    assert str(found) == "tilted 12.5 degrees"


def test_the_phantom_was_tilted_and_has_a_gap(shared):
    found = scan(sorted(path for path in shared("dicom").glob("philips*/*/I*")))
    assert sorted(round(series.geometry.tilt_deg, 1) for series in found.series) == [16.5, 18.5]
    for series in found.series:
        assert len(series.geometry.gaps) == 1
        assert series.geometry.spacing_mm == pytest.approx(
            2.5 * np.cos(np.radians(series.slices[0].tilt_deg)), 1e-4
        )


@pytest.mark.parametrize(
    ("option", "elements", "positions", "word"),
    [
        ("refuse_gaps", {}, [0, 1, 2, 4, 5, 6], "gaps"),
        ("refuse_variable", {}, [0, 1, 2, 3.2, 4.4, 5.6], "variable"),
        ("refuse_tilt", {"GantryDetectorTilt": 10}, [0, 1, 2, 3, 4, 5], "tilted"),
    ],
)
def test_taken_unless_refused_by_option(tmp_path, option, elements, positions, word):
    paths = stack(tmp_path / "a", positions, **elements)
    even = stack(tmp_path / "b", range(3), PatientID="P2")
    assert len(scan(paths + even).slices) == 9
    found = scan(paths + even, **{option: True})
    assert {header.path for header in found.slices} == set(even)
    assert {entry.path for entry in found.refused} == set(paths)
    assert all(word in entry.reason and "by option" in entry.reason for entry in found.refused)
    assert all(entry.sha256 for entry in found.refused)

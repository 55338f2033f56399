"""Data Exchange files: what was written is what is read, and every way a file can be wrong has its own line."""

import h5py
import numpy as np
import pytest

from ctrobust.core.errors import UserError
from ctrobust.ingest.data_exchange import read_projections

VIEWS, ROWS, BINS, FRAMES = 5, 3, 7, 2


def arrays():
    rng = np.random.default_rng(0)
    return {
        "data": rng.integers(100, 1000, (VIEWS, ROWS, BINS)).astype(np.uint16),
        "data_white": rng.integers(900, 1000, (FRAMES, ROWS, BINS)).astype(np.uint16),
        "data_dark": rng.integers(0, 100, (FRAMES + 1, ROWS, BINS)).astype(np.uint16),
        "theta": np.linspace(0, 180, VIEWS, endpoint=False),
    }


@pytest.fixture
def write(tmp_path):
    """`write(attributes={"theta": {"units": "rad"}}, data=…)`: a file, whole but for what is named; None leaves out."""

    def written(attributes=None, **changes):
        path = tmp_path / "scan.h5"
        with h5py.File(path, "w") as file:
            for name, values in (arrays() | changes).items():
                if values is not None:
                    file[f"exchange/{name}"] = values
            for name, values in (attributes or {}).items():
                file[f"exchange/{name}"].attrs.update(values)
        return path

    return written


def test_what_was_written_is_read(write):
    scan, expected = read_projections(write()), arrays()
    for name in ("data", "white", "dark"):
        found = getattr(scan, name)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected[name if name == "data" else f"data_{name}"])
    np.testing.assert_allclose(scan.angles_rad, np.pi * np.arange(VIEWS) / VIEWS, rtol=1e-15)


@pytest.mark.parametrize("rows", [slice(1, 2), slice(None), slice(0, None, 2), slice(-2, None)])
def test_rows_are_those_of_the_slice(write, rows):
    scan = read_projections(str(write()), rows=rows)
    np.testing.assert_array_equal(scan.data, arrays()["data"][:, rows])
    np.testing.assert_array_equal(scan.white, arrays()["data_white"][:, rows])
    np.testing.assert_array_equal(scan.dark, arrays()["data_dark"][:, rows])


@pytest.mark.parametrize(
    ("units", "per_radian"),
    [
        ("degrees", 180 / np.pi),
        (b"deg", 180 / np.pi),
        ("Degree ", 180 / np.pi),
        (np.array(["rad"], dtype="S"), 1),
        ("radians", 1),
    ],
)
def test_angles_count_in_their_units(write, units, per_radian):
    theta = np.linspace(0, 3, VIEWS)
    scan = read_projections(write({"theta": {"units": units}}, theta=theta))
    np.testing.assert_allclose(scan.angles_rad, theta / per_radian, rtol=1e-15)


def test_axes_in_another_order_are_turned(write):
    """Stacks may be stored sinogram by sinogram, and then say so."""
    stored = arrays()["data"].transpose(1, 0, 2)
    scan = read_projections(write({"data": {"axes": "y:theta:x"}}, data=stored), rows=slice(0, 2))
    np.testing.assert_array_equal(scan.data, arrays()["data"][:, :2])
    named = {"data_white": {"axes": "theta_white:y:x"}, "data_dark": {"axes": b"theta_dark:y:x"}}
    np.testing.assert_array_equal(read_projections(write(named)).white, arrays()["data_white"])


def test_angles_given_stand_in_for_the_files(write):
    given = np.linspace(10, 100, VIEWS)
    for path in (write(theta=None), write(theta=np.zeros(2)), write({"theta": {"units": "steps"}})):
        np.testing.assert_allclose(read_projections(path, theta_deg=given).angles_rad, np.deg2rad(given))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data": None}, "has no exchange/data;"),
        ({"data_white": None}, "has no exchange/data_white;"),
        ({"data_dark": None}, "has no exchange/data_dark;"),
        ({"theta": None}, "has no exchange/theta; give the angle of every view as theta_deg"),
        ({"theta": np.zeros(VIEWS + 1)}, rf"exchange/theta of shape \(6,\) for {VIEWS} views"),
        ({"theta": np.full(VIEWS, np.nan)}, "one finite angle a view"),
        ({"theta": "0 to 180"}, "not numbers"),
        ({"attributes": {"theta": {"units": "steps"}}}, "is in 'steps', neither degrees nor radians"),
        ({"data": np.zeros((VIEWS, BINS))}, r"exchange/data of shape \(5, 7\).*three axes"),
        ({"data": np.zeros((0, ROWS, BINS))}, "has nothing in"),
        (
            {"data_dark": np.zeros((FRAMES, ROWS, 9))},
            r"data_dark has frames of 3 × 9.*exchange/data of 3 × 7",
        ),
        ({"attributes": {"data": {"axes": "energy:y:x"}}}, "axes 'energy:y:x'"),
    ],
)
def test_a_file_that_does_not_fit_says_why(write, changes, says):
    path = write(**changes)
    with pytest.raises(UserError, match=says) as raised:
        read_projections(path)
    assert str(raised.value).startswith(str(path))


def test_angles_given_that_do_not_fit(write):
    with pytest.raises(UserError, match=r"theta_deg of shape \(3,\) for 5 views"):
        read_projections(write(), theta_deg=[0, 1, 2])


def test_rows_beyond_the_detector(write):
    with pytest.raises(UserError, match=r"has nothing in slice\(10, 11"):
        read_projections(write(), rows=slice(10, 11))


def test_what_is_no_hdf5_file(tmp_path, write):
    text = tmp_path / "notes.txt"
    text.write_text("not a scan")
    cut = write(data=np.zeros((VIEWS, ROWS, 5000)), data_white=None)
    cut.write_bytes(cut.read_bytes()[:3000])
    for path, says in {
        text: "not an HDF5 file",
        cut: "truncated or damaged",
        tmp_path / "absent.h5": "cannot be read",
        tmp_path: "cannot be read",
    }.items():
        with pytest.raises(UserError, match=says):
            read_projections(path)


def test_a_chunk_that_cannot_be_decoded(tmp_path, write):
    path = write(data=None)
    with h5py.File(path, "a") as file:
        file.create_dataset("exchange/data", data=arrays()["data"], chunks=True, compression="gzip")
        offset = file["exchange/data"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[offset : offset + 8] = bytes(8)
    path.write_bytes(content)
    with pytest.raises(UserError, match="exchange/data cannot be read"):
        read_projections(path)


def test_the_tooth(shared):
    scan = read_projections(shared("sinograms") / "tooth" / "tooth.h5")
    assert (scan.data.shape, scan.white.shape, scan.dark.shape) == (
        (181, 2, 640),
        (10, 2, 640),
        (10, 2, 640),
    )
    np.testing.assert_allclose(scan.angles_rad, np.pi * np.arange(181) / 181, rtol=1e-12)
    assert scan.dark.max() < 200 < scan.data.min() < scan.white.max() < 4e4

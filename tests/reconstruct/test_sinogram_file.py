"""Sinograms from files: three shapes, one meaning; whatever else is refused in one line."""

import h5py
import numpy as np
import pytest

from ctrobust.core.errors import UserError
from ctrobust.reconstruct.sinogram_file import open_sinograms

SHAPE = (4, 7)
Y = np.random.default_rng(0).uniform(0, 300, (5, *SHAPE))


def read(path, dataset=None):
    with open_sinograms(path, SHAPE, dataset) as sinograms:
        return len(sinograms), sinograms[0:3].numpy(), sinograms[3:6].numpy()


def save(path, values, **more):
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        with h5py.File(path, "w") as file:
            for name, data in ({"some/where": values} | more).items():
                file[name] = data
    return path


@pytest.mark.parametrize("kind", ["a.npy", "a.h5", "a.HDF5"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ">f8", np.int16, np.uint8])
def test_shapes_and_types(tmp_path, kind, dtype) -> None:
    given = Y.astype(dtype)
    expected = given.astype(np.float32)[:, None]
    for values in (given, given[:, None], given[0]):
        count, first, rest = read(save(tmp_path / kind, values))
        assert count == (5 if values.ndim > 2 else 1)
        np.testing.assert_array_equal(first, expected[: min(3, count)])
        np.testing.assert_array_equal(rest, expected[3:count])
        assert first.dtype == np.float32


@pytest.mark.parametrize("kind", ["a.npy", "a.h5"])
@pytest.mark.parametrize(
    "values",
    [
        Y[0].T,
        Y[:, :3],
        Y[0, 0],
        Y[:0],
        np.stack([Y, Y], axis=1),
        Y[None, None],
        Y.astype(complex),
        Y.astype("S8"),
        Y > 1,
    ],
)
def test_the_shape_wanted_is_said(tmp_path, kind, values) -> None:
    # Of other dimensions a data set is not even taken for sinograms.
    none = kind == "a.h5" and not 2 <= values.ndim <= 4
    said = r"no data sets .* 2 to 4 dimensions" if none else r"\(4, 7\).*\(N, 4, 7\)"
    with pytest.raises(UserError, match=rf"a\.(npy|h5).*{said}"):
        read(save(tmp_path / kind, values))


@pytest.mark.parametrize("kind", ["a.npy", "a.h5"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_what_is_no_number_is_refused_with_its_place(tmp_path, kind, bad) -> None:
    values = Y.copy()
    values[4, 3, 6] = bad
    path = save(tmp_path / kind, values)
    with open_sinograms(path, SHAPE) as sinograms:
        assert len(sinograms[0:4]) == 4
        with pytest.raises(UserError, match=r"sinogram 4 .*NaN"):
            sinograms[3:5]


def test_which_of_the_data_sets(tmp_path) -> None:
    path = save(tmp_path / "a.h5", Y + 1, sinogram=Y, note=np.zeros(3))
    np.testing.assert_array_equal(read(path)[1], Y[:3, None].astype(np.float32))
    np.testing.assert_array_equal(read(path, "some/where")[1], (Y[:3, None] + 1).astype(np.float32))
    np.testing.assert_array_equal(read(path, "/some/where")[0], 5)
    for missing in ("note", "some", "nothing"):
        with pytest.raises(UserError, match=f"no data set {missing}.*sinogram, some/where.*--dataset"):
            read(path, missing)
    several = save(tmp_path / "b.h5", Y, more=Y)
    with pytest.raises(UserError, match=r"2 data sets .*more, some/where.*--dataset"):
        read(several)
    with pytest.raises(UserError, match="no data sets"):
        read(save(tmp_path / "c.h5", np.zeros(3)))


def test_files_that_are_none(tmp_path) -> None:
    for name in ("a.npy", "a.h5", "a.txt"):
        (tmp_path / name).write_bytes(b"not mine")
        with pytest.raises(UserError, match=name):
            read(tmp_path / name)
    np.save(tmp_path / "b.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(UserError, match="not an array"):
        read(tmp_path / "b.npy")
    whole = save(tmp_path / "c.npy", Y).read_bytes()
    (tmp_path / "c.npy").write_bytes(whole[:-8])
    with pytest.raises(UserError, match=r"not an array|damaged"):
        read(tmp_path / "c.npy")
    with pytest.raises(UserError, match="--dataset"):
        read(save(tmp_path / "d.npy", Y), "sinogram")
    (tmp_path / "folder.npy").mkdir()
    for name in ("e.h5", "e.npy", "folder.npy"):
        with pytest.raises(UserError, match="no such file"):
            read(tmp_path / name)

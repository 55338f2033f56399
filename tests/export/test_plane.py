"""A point of the patient is where it was, whatever grid the slice is brought to."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctrobust.core.grid import regrid
from ctrobust.export import Plane

SIDES = st.tuples(st.integers(9, 40), st.integers(9, 40))
SPACINGS = st.tuples(st.floats(0.3, 3.0), st.floats(0.3, 3.0))
CORNERS = st.tuples(*[st.floats(-400.0, 400.0)] * 3)


@st.composite
def orientations(draw) -> tuple[float, ...]:
    """Any two perpendicular directions, mirrored ones too."""
    turned, _ = np.linalg.qr(np.random.default_rng(draw(st.integers(0, 10**6))).normal(size=(3, 3)))
    return tuple(turned[:, :2].T.ravel().tolist())


def test_the_corner_is_the_centre_of_the_first_pixel() -> None:
    """By hand: 4×8 pixels of 2×1 mm, their centre at (3.5, 3, 10); 2×2 pixels of 1 mm about the same centre."""
    plane = Plane((4, 8), (2.0, 1.0), (0.0, 0.0, 10.0), (1, 0, 0, 0, 1, 0))
    assert plane.regridded((2, 2), (1.0, 1.0)).corner_mm == (3.0, 2.5, 10.0)
    np.testing.assert_array_equal(plane.point_mm(3, 1), [1.0, 6.0, 10.0])
    coronal = Plane((4, 8), (2.0, 1.0), (0.0, 0.0, 10.0), (1, 0, 0, 0, 0, -1))
    np.testing.assert_array_equal(coronal.point_mm(3, 1), [1.0, 0.0, 4.0])


@given(SIDES, SPACINGS, CORNERS, orientations(), SIDES, SPACINGS)
def test_the_centre_stays_and_the_way_back_is_the_way(
    size, pixel_mm, corner, orientation, new, new_mm
) -> None:
    plane = Plane(size, pixel_mm, corner, orientation)
    other = plane.regridded(new, new_mm)
    assert (other.size, other.pixel_mm, other.orientation) == (new, new_mm, orientation)
    centres = [each.point_mm((each.size[0] - 1) / 2, (each.size[1] - 1) / 2) for each in (plane, other)]
    np.testing.assert_allclose(*centres, atol=1e-9)
    np.testing.assert_allclose(other.regridded(size, pixel_mm).corner_mm, corner, atol=1e-9)


@given(SIDES, SPACINGS, CORNERS, orientations(), st.data())
def test_a_bright_pixel_is_found_where_it_was(size, pixel_mm, corner, orientation, data) -> None:
    """The centre of mass of one bright pixel, in the patient's axes, before and after `regrid`: exact, because
    area averages keep it to within a new pixel, and to nothing where the new pixels divide the old.
    """
    row, column = (data.draw(st.integers(0, length - 1)) for length in size)
    image = np.zeros(size, np.float32)
    image[row, column] = 1000
    plane = Plane(size, pixel_mm, corner, orientation)
    finer = plane.regridded(tuple(3 * length for length in size), tuple(mm / 3 for mm in pixel_mm))
    assert plane.point_mm(row, column) == pytest.approx(
        _centre_of_mass(regrid(image, pixel_mm, finer.size, finer.pixel_mm, 0.0), finer), abs=1e-4
    )
    coarse_mm = data.draw(st.floats(1.0, 2.0)) * max(pixel_mm)
    sides = tuple(int(np.ceil(length * mm / coarse_mm)) for length, mm in zip(size, pixel_mm, strict=True))
    coarse = plane.regridded(sides, (coarse_mm, coarse_mm))
    found = _centre_of_mass(regrid(image, pixel_mm, coarse.size, coarse.pixel_mm, 0.0), coarse)
    off = np.linalg.norm(found - plane.point_mm(row, column))
    assert off <= coarse_mm / np.sqrt(2) + 1e-4


@pytest.mark.parametrize(
    ("size", "pixel_mm", "beyond"),
    [
        ((10, 10), (1.0, 1.0), False),
        ((11, 10), (1.0, 1.0), True),
        ((10, 5), (1.0, 2.1), True),
        ((5, 5), (1.0, 1.0), False),
    ],
)
def test_what_reaches_beyond(size, pixel_mm, beyond) -> None:
    grid = Plane((20, 20), (0.5, 0.5), (0, 0, 0), (1, 0, 0, 0, 1, 0))
    assert Plane(size, pixel_mm, (0, 0, 0), (1, 0, 0, 0, 1, 0)).reaches_beyond(grid) == beyond


def _centre_of_mass(image: np.ndarray, plane: Plane) -> np.ndarray:
    weights = image.astype(np.float64) / image.sum(dtype=np.float64)
    rows, columns = np.indices(image.shape)
    return plane.point_mm((weights * rows).sum(), (weights * columns).sum())

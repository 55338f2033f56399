"""From one pixel grid to another: integrals survive, nothing rings, what lies beyond is what was said."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctrobust.core.grid import regrid


@given(
    old=st.integers(2, 40),
    new=st.integers(2, 40),
    old_mm=st.floats(0.3, 3),
    seed=st.integers(0, 99),
)
def test_the_same_field_of_view_keeps_the_mean_and_the_range(
    old: int, new: int, old_mm: float, seed: int
) -> None:
    image = np.random.default_rng(seed).normal(size=(old, old)).astype(np.float32)
    new_mm = old_mm * old / new
    result = regrid(image, (old_mm, old_mm), (new, new), (new_mm, new_mm), 0.0)
    assert result.shape == (new, new)
    assert result.mean() == pytest.approx(image.mean(), abs=1e-5)
    assert image.min() - 1e-5 <= result.min() <= result.max() <= image.max() + 1e-5


def test_halving_averages_two_by_two() -> None:
    image = np.arange(16, dtype=np.float32).reshape(4, 4)
    result = regrid(image, (1.0, 1.0), (2, 2), (2.0, 2.0), 0.0)
    np.testing.assert_allclose(result, [[2.5, 4.5], [10.5, 12.5]])


def test_beyond_the_old_image_is_what_was_said() -> None:
    result = regrid(np.ones((4, 4), np.float32), (1.0, 1.0), (8, 8), (1.0, 1.0), -1024.0)
    assert result[0, 0] == -1024
    np.testing.assert_array_equal(result[2:6, 2:6], 1)


def test_a_narrower_grid_takes_the_middle() -> None:
    image = np.arange(36, dtype=np.float32).reshape(6, 6)
    np.testing.assert_array_equal(regrid(image, (1.0, 1.0), (2, 2), (1.0, 1.0), 0.0), image[2:4, 2:4])


def _dense(old: int, old_mm: float, new: int, new_mm: float) -> np.ndarray:
    """(new, old): the share of each new pixel's length that lies in each old pixel."""
    old_edges, new_edges = ((np.arange(n + 1) - n / 2) * mm for n, mm in ((old, old_mm), (new, new_mm)))
    low = np.maximum(new_edges[:-1, None], old_edges[None, :-1])
    high = np.minimum(new_edges[1:, None], old_edges[None, 1:])
    return np.maximum(high - low, 0) / new_mm


@given(
    old=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    new=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    old_mm=st.tuples(st.floats(0.01, 9), st.floats(0.01, 9)),
    new_mm=st.tuples(st.floats(0.01, 9), st.floats(0.01, 9)),
    seed=st.integers(0, 99),
)
def test_each_new_pixel_is_the_mean_over_its_area(
    old: tuple[int, int],
    new: tuple[int, int],
    old_mm: tuple[float, float],
    new_mm: tuple[float, float],
    seed: int,
) -> None:
    image = np.random.default_rng(seed).normal(size=old).astype(np.float32)
    rows, columns = (_dense(*sides) for sides in zip(old, old_mm, new, new_mm, strict=True))
    expected = rows @ (image.astype(np.float64) - 0.5) @ columns.T + 0.5
    np.testing.assert_allclose(regrid(image, old_mm, new, new_mm, 0.5), expected, rtol=1e-5, atol=1e-6)

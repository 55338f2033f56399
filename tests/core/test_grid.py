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

"""Geometries are values: equal when their fields are, refused when no scanner is like that."""

import math

import numpy as np
import pytest

from ctrobust.core.geometry import ParallelBeam


def test_defaults_cover_the_diagonal() -> None:
    g = ParallelBeam(128, 36)
    assert g.image_shape == (128, 128)
    assert g.sinogram_shape == (36, 182)
    assert g.bins * g.bin_mm >= math.hypot(128, 128)
    assert g.angles[1] == pytest.approx(math.pi / 36)
    fine = ParallelBeam((20, 30), 4, pixel_mm=2.0, bin_mm=0.5)
    assert fine.bins * 0.5 >= math.hypot(40, 60) > (fine.bins - 1) * 0.5


def test_is_a_value() -> None:
    assert ParallelBeam(8, 4) == ParallelBeam((8, 8), np.pi * np.arange(4) / 4)
    assert hash(ParallelBeam(np.int64(8), np.int32(4))) == hash(ParallelBeam(8, 4))
    with pytest.raises(AttributeError):
        ParallelBeam(8, 4).bins = 3


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (dict(image_size=0, views=4), "image_size"),
        (dict(image_size=(8, 8, 8), views=4), "image_size"),
        (dict(image_size=8.5, views=4), "image_size"),
        (dict(image_size=8, views=0), "views"),
        (dict(image_size=8, views=[]), "views"),
        (dict(image_size=8, views=[float("nan")]), "views"),
        (dict(image_size=8, views=4, pixel_mm=0.0), "pixel_mm"),
        (dict(image_size=8, views=4, pixel_mm=float("inf")), "pixel_mm"),
        (dict(image_size=8, views=4, bin_mm=-1.0), "bin_mm"),
        (dict(image_size=8, views=4, bins=0), "bins"),
    ],
)
def test_refuses_what_no_scanner_has(arguments: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        ParallelBeam(**arguments)

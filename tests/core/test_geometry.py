"""Geometries are values: equal when their fields are, refused when no scanner is like that."""

import math

import numpy as np
import pytest

from ctrobust.core.geometry import FanBeam, ParallelBeam


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


SCANNER = {"source_to_iso_mm": 40.0, "iso_to_detector_mm": 20.0}


def test_a_fan_covers_the_image_by_default() -> None:
    """Every corner, seen from every side, casts its shadow on the detector."""
    for shift in (0.0, 2.6):
        g = FanBeam((12, 20), 90, pixel_mm=1.5, bin_shift=shift, **SCANNER)
        assert g.bin_mm == pytest.approx(1.5 * g.magnification)
        edges = g.bin_centres_mm[[0, -1]] + np.array([-0.5, 0.5]) * g.bin_mm
        corner = math.hypot(12, 20) * 1.5 / 2
        seen = 60 * math.tan(math.asin(corner / 40))
        assert edges[0] <= -seen + 1e-9
        assert edges[1] >= seen - 1e-9
    assert g.angles[1] == pytest.approx(2 * math.pi / 90)
    assert g.sinogram_shape == (90, g.bins)


def test_a_short_scan_is_half_a_turn_and_the_fan() -> None:
    g = FanBeam.short_scan(16, 50, **SCANNER)
    step = g.angles[1] - g.angles[0]
    assert 50 * step == pytest.approx(math.pi + 2 * g.half_fan)
    assert g.half_fan == pytest.approx(math.asin(8 * math.sqrt(2) / 40))
    assert FanBeam(16, 4, bins=3, **SCANNER).half_fan == pytest.approx(math.atan(1.5 * 1.5 / 60))


def test_rays_are_where_the_contract_says() -> None:
    """Parallel: x cos θ + y sin θ = s. Fan: from the source through the bin, the detector opposite."""
    θ = 0.7
    along, towards = np.array([math.cos(θ), math.sin(θ)]), np.array([math.sin(θ), -math.cos(θ)])
    g = ParallelBeam(8, [θ], bins=5, bin_mm=1.5, bin_shift=0.5)
    points, directions = g.rays()
    np.testing.assert_allclose(points[0] @ along, (np.arange(5) - 2 + 0.5) * 1.5)
    np.testing.assert_allclose(directions[0] @ along, 0, atol=1e-15)
    fan = FanBeam(8, [θ], bins=5, bin_mm=1.5, bin_shift=0.5, **SCANNER)
    points, directions = fan.rays()
    np.testing.assert_allclose(points[0], np.outer((np.arange(5) - 1.5) * 1.5, along) - 20 * towards)
    np.testing.assert_allclose(points[0] - directions[0], np.tile(40 * towards, (5, 1)))
    tilted = ParallelBeam(8, [θ], bins=5, detector_tilt=0.3).rays()[0][0] @ along
    np.testing.assert_allclose(tilted, (np.arange(5) - 2) * math.cos(0.3))


def test_but_changes_what_it_names() -> None:
    for g in (ParallelBeam((8, 9), [0.1, 0.2], bin_shift=0.5), FanBeam((8, 9), 3, pixel_mm=2, **SCANNER)):
        assert g.but() == g
        changed = g.but(pixel_mm=0.5, angles=(1.0,))
        assert (changed.pixel_mm, changed.angles) == (0.5, (1.0,))
        assert changed.but(pixel_mm=g.pixel_mm, angles=g.angles) == g
        with pytest.raises(TypeError):
            g.but(pixels=3)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (dict(source_to_iso_mm=5.0), "turn inside the image.*longer distance"),
        (dict(pixel_mm=9.0), "turn inside the image.*smaller pixel_mm"),
        (dict(source_to_iso_mm=-40.0), "source_to_iso_mm"),
        (dict(iso_to_detector_mm=-1.0), "the detector faces the source"),
        (dict(iso_to_detector_mm=float("nan")), "iso_to_detector_mm"),
        (dict(bin_shift=float("inf")), "bin_shift"),
        (dict(detector_tilt=1.3), "graze"),
        (dict(bins=2.5), "whole number"),
        (dict(bin_mm=0.0), "bin_mm"),
    ],
)
def test_a_fan_refuses_what_no_scanner_has(changed: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        FanBeam(8, 4, **(SCANNER | changed))

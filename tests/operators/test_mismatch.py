"""What the scanner really does, held against exact line integrals of Gaussian blobs; no error, no change."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ctrobust.core.geometry import FanBeam, ParallelBeam
from ctrobust.operators import Projector
from ctrobust.operators.faults import shift_bins
from ctrobust.operators.mismatch import (
    angle_jitter,
    angle_offset,
    centre_shift,
    detector_tilt,
    wrong_pixel_size,
)

PARALLEL = ParallelBeam(40, 24, pixel_mm=2.0, bin_mm=1.5)
FAN = FanBeam(40, 24, source_to_iso_mm=200, iso_to_detector_mm=150, pixel_mm=2.0)
SCANS = [PARALLEL, FAN]
BLOBS = ((9.0, 4.0, 5.0), (-12.0, 7.0, 4.0), (3.0, -15.0, 6.0))

scans = pytest.mark.parametrize("scan", SCANS, ids=["parallel", "fan"])
radians = st.floats(-0.5, 0.5)


def turned(point: np.ndarray, angle: float) -> np.ndarray:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) @ point


def scanned(scan: ParallelBeam | FanBeam, *, turn: float = 0.0, scale: float = 1.0) -> np.ndarray:
    """(views, bins) exact line integrals of Gaussian blobs, after the object was turned and enlarged."""
    at, direction = scan.rays()
    direction = direction / np.linalg.norm(direction, axis=-1, keepdims=True)
    y = np.zeros(scan.sinogram_shape)
    for x_mm, y_mm, width in BLOBS:
        off = at - scale * turned(np.array([x_mm, y_mm]), turn)
        distance = off[..., 0] * direction[..., 1] - off[..., 1] * direction[..., 0]
        spread = scale * width
        y += spread * math.sqrt(2 * math.pi) * np.exp(-((distance / spread) ** 2) / 2)
    return y


def distances(scan: ParallelBeam | FanBeam) -> np.ndarray:
    """(views, bins) how far from the centre of rotation each ray passes, positive towards the higher bins."""
    at, direction = scan.rays()
    direction = direction / np.linalg.norm(direction, axis=-1, keepdims=True)
    foot = at - (at * direction).sum(-1, keepdims=True) * direction
    along = np.stack([np.cos(scan.angles), np.sin(scan.angles)], -1)[:, None]
    return np.sign((foot * along).sum(-1)) * np.linalg.norm(foot, axis=-1)


# Angles


@scans
def test_an_offset_turns_the_object(scan: ParallelBeam | FanBeam) -> None:
    np.testing.assert_allclose(scanned(angle_offset(scan, 0.3)), scanned(scan, turn=-0.3), atol=1e-10)


def test_a_quarter_turn_is_rot90() -> None:
    nominal = ParallelBeam(24, 30)
    x = torch.zeros(1, 1, 24, 24)
    x[..., 5:9, 8:19] = 1
    x[..., 9:20, 8:11] = 0.5
    y_true = Projector(angle_offset(nominal, math.pi / 2))(x)
    turned_x = torch.rot90(x, -1, (2, 3))
    A = Projector(nominal)
    torch.testing.assert_close(y_true, A(turned_x), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(A.fbp(y_true), A.fbp(A(turned_x)), rtol=1e-4, atol=1e-3)
    assert (y_true - A(x)).norm() > 0.1 * y_true.norm()


@scans
def test_errors_of_single_views_touch_these_alone(scan: ParallelBeam | FanBeam) -> None:
    errors = np.zeros(24)
    errors[5] = 0.1
    y, off = scanned(scan), scanned(angle_offset(scan, errors))
    np.testing.assert_allclose(off[5], scanned(angle_offset(scan, 0.1))[5], atol=1e-10)
    assert (np.delete(off, 5, 0) == np.delete(y, 5, 0)).all()


def test_jitter_is_its_seed_and_grows_along_a_line() -> None:
    first = angle_jitter(PARALLEL, 0.01, 4)
    assert first == angle_jitter(PARALLEL, 0.01, 4)
    assert first != angle_jitter(PARALLEL, 0.01, 5)
    errors, doubled = (
        np.subtract(angle_jitter(PARALLEL, sigma, 4).angles, PARALLEL.angles) for sigma in (0.01, 0.02)
    )
    np.testing.assert_allclose(doubled, 2 * errors, atol=1e-12)


def test_jitter_is_normal_with_its_sigma() -> None:
    many = ParallelBeam(4, 20_000)
    errors = np.subtract(angle_jitter(many, 0.02, 1).angles, many.angles)
    assert abs(errors.mean()) < 5e-4
    assert abs(errors.std() / 0.02 - 1) < 0.02
    assert abs(np.mean(errors[1:] * errors[:-1])) < 0.02**2 * 0.03


# Detector


@pytest.mark.parametrize("mm", [2.0, -0.7])
def test_the_middle_ray_passes_the_centre_at_the_shift(mm: float) -> None:
    odd = PARALLEL.but(bins=55)
    np.testing.assert_allclose(distances(centre_shift(odd, mm))[:, 27], mm, atol=1e-10)
    fan = FAN.but(bins=79)
    # From the source, the point `mm` beside the centre is seen at this angle.
    exact = fan.source_to_iso_mm * math.sin(math.atan(mm / fan.source_to_iso_mm))
    np.testing.assert_allclose(distances(centre_shift(fan, mm))[:, 39], exact, atol=1e-10)


@scans
def test_a_shift_of_the_centre_is_a_shift_of_the_bins(scan: ParallelBeam | FanBeam) -> None:
    magnification = scan.magnification if isinstance(scan, FanBeam) else 1.0
    nominal = torch.from_numpy(scanned(scan))[None, None]
    moved = shift_bins(nominal, -1.3 * magnification / scan.bin_mm)
    # The blobs are smooth and end before the detector does: to 8e-8 of 27 mm on the coarser of the two.
    torch.testing.assert_close(
        moved[0, 0], torch.from_numpy(scanned(centre_shift(scan, 1.3))), rtol=0, atol=1e-6
    )


def test_a_tilted_detector_meets_parallel_rays_closer_together() -> None:
    tilted = scanned(detector_tilt(PARALLEL, 0.2))
    np.testing.assert_allclose(tilted, scanned(PARALLEL.but(bin_mm=1.5 * math.cos(0.2))), atol=1e-10)


def test_a_tilted_detector_sees_a_fan_in_perspective() -> None:
    """A bin at u stands u·sin τ farther off and u·cos τ aside: seen at atan of the ratio."""
    tilt, u, far = 0.2, FAN.bin_centres_mm, FAN.source_to_iso_mm + FAN.iso_to_detector_mm
    seen = np.arctan(u * math.cos(tilt) / (far + u * math.sin(tilt)))
    expected = np.broadcast_to(FAN.source_to_iso_mm * np.sin(seen), FAN.sinogram_shape)
    np.testing.assert_allclose(distances(detector_tilt(FAN, tilt)), expected, atol=1e-10)


# Pixels


def test_larger_pixels_make_a_larger_object() -> None:
    nominal = ParallelBeam(16, 7, pixel_mm=2.0)
    larger = wrong_pixel_size(nominal, 1.1)
    assert (larger.pixel_mm, larger.bins, larger.bin_mm) == (2.2, nominal.bins, nominal.bin_mm)
    x = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    scaled = Projector(nominal.but(bin_mm=2.0 / 1.1))(x)
    torch.testing.assert_close(Projector(larger)(x), 1.1 * scaled, rtol=1e-4, atol=1e-3)


# All of them

ERRORS = {
    "angle_offset": (lambda scan, size: angle_offset(scan, size)),
    "angle_jitter": (lambda scan, size: angle_jitter(scan, abs(size), 3)),
    "centre_shift": (lambda scan, size: centre_shift(scan, 10 * size)),
    "detector_tilt": (lambda scan, size: detector_tilt(scan, size)),
    "wrong_pixel_size": (lambda scan, size: wrong_pixel_size(scan, 1 + size)),
}


@scans
@pytest.mark.parametrize("error", ERRORS.values(), ids=list(ERRORS))
def test_no_error_no_change_and_some_error_some_change(scan: ParallelBeam | FanBeam, error) -> None:
    assert error(scan, 0.0) == scan
    off = error(scan, 0.05)
    assert off != scan
    assert type(off) is type(scan)
    assert off.sinogram_shape == scan.sinogram_shape
    assert off.bin_mm == scan.bin_mm
    assert off.image_shape == scan.image_shape


@scans
@given(there=radians, more=radians)
def test_errors_add_up_and_undo(scan: ParallelBeam | FanBeam, there: float, more: float) -> None:
    for error in (angle_offset, centre_shift, detector_tilt):
        both, once = error(error(scan, there), more), error(scan, there + more)
        np.testing.assert_allclose(both.vectors, once.vectors, atol=1e-9)
        np.testing.assert_allclose(error(error(scan, there), -there).vectors, scan.vectors, atol=1e-9)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda scan: angle_offset(scan, math.nan), "radians"),
        (lambda scan: angle_offset(scan, [0.1, 0.2]), "24 views"),
        (lambda scan: angle_jitter(scan, -0.1, 0), "sigma_rad"),
        (lambda scan: angle_jitter(scan, math.inf, 0), "sigma_rad"),
        (lambda scan: centre_shift(scan, math.inf), "mm"),
        (lambda scan: detector_tilt(scan, math.nan), "radians"),
        (lambda scan: detector_tilt(scan, 1.2), "detector_tilt"),
        (lambda scan: wrong_pixel_size(scan, 0.0), "factor"),
        (lambda scan: wrong_pixel_size(scan, math.nan), "factor"),
        (lambda scan: wrong_pixel_size(FAN, 10.0), "source_to_iso_mm"),
    ],
)
@scans
def test_refuses_what_no_scanner_does(scan: ParallelBeam | FanBeam, call, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        call(scan)

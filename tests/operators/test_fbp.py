"""Filtered back-projection: amplitudes, windows, views, arcs, and ASTRA's own where it has one."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from ctrobust.core.geometry import FanBeam, Geometry, ParallelBeam
from ctrobust.operators import Projector
from ctrobust.operators.backends.smear import smear
from ctrobust.operators.fan import _smear_by_view, fan_angles, redundancy_weights
from ctrobust.operators.filtering import WINDOWS, filter_sinogram


def disc_sinogram(g: Geometry, radius_mm: float, centre_mm: tuple[float, float]) -> torch.Tensor:
    """Line integrals of a disc of ones, exactly: twice the half chord of each ray."""
    points, directions = g.rays()
    offset = points - np.asarray(centre_mm)
    missed = offset[..., 0] * directions[..., 1] - offset[..., 1] * directions[..., 0]
    missed /= np.linalg.norm(directions, axis=-1)
    return torch.from_numpy(2 * np.sqrt(np.clip(radius_mm**2 - missed**2, 0, None)))[None, None]


def inside(g: Geometry, radius_mm: float, centre_mm: tuple[float, float]) -> np.ndarray:
    rows, columns = g.image_shape
    v, u = np.mgrid[:rows, :columns]
    x, y = (u - (columns - 1) / 2) * g.pixel_mm, ((rows - 1) / 2 - v) * g.pixel_mm
    return np.hypot(x - centre_mm[0], y - centre_mm[1]) < radius_mm


SCANNER = {"source_to_iso_mm": 300.0, "iso_to_detector_mm": 200.0}
SCANS: dict[str, Callable[[float, float], Geometry]] = {
    "parallel": lambda pixel, bin: ParallelBeam(64, 120, pixel_mm=pixel, bin_mm=bin),
    "parallel, not square, shifted": lambda pixel, bin: ParallelBeam(
        (64, 80), 120, pixel_mm=pixel, bin_mm=bin, bin_shift=3.3
    ),
    "fan, full": lambda pixel, bin: FanBeam(64, 240, pixel_mm=pixel, bin_mm=bin, **SCANNER),
    "fan, full, quarter shift": lambda pixel, bin: FanBeam(
        (64, 80), 240, pixel_mm=pixel, bin_mm=bin, bin_shift=0.25, **SCANNER
    ),
    "fan, short": lambda pixel, bin: FanBeam.short_scan(64, 240, pixel_mm=pixel, bin_mm=bin, **SCANNER),
    "fan, more than short": lambda pixel, bin: FanBeam(
        64, 0.7 + np.linspace(0, 1.6 * np.pi, 240), pixel_mm=pixel, bin_mm=bin, **SCANNER
    ),
}


@pytest.mark.parametrize("scan", list(SCANS))
@pytest.mark.parametrize(("pixel_mm", "bin_mm"), [(1.0, 1.0), (2.8, 2.1), (0.5, 0.8)])
@pytest.mark.parametrize("window", list(WINDOWS))
def test_a_disc_off_the_centre_comes_back_at_its_height(
    scan: str, pixel_mm: float, bin_mm: float, window: str
) -> None:
    """Its sinogram is analytic: what is tested owes nothing to the projector."""
    g = SCANS[scan](pixel_mm, bin_mm)
    centre = (6 * pixel_mm, 4 * pixel_mm)
    image = Projector(g).fbp(disc_sinogram(g, 18 * pixel_mm, centre), window)[0, 0].numpy()
    assert image[inside(g, 14 * pixel_mm, centre)].mean() == pytest.approx(1, abs=0.01)
    outside = ~inside(g, 24 * pixel_mm, centre) & inside(g, 30 * pixel_mm, (0, 0))
    assert image[outside].mean() == pytest.approx(0, abs=0.015)


def test_the_disc_stays_where_it_is() -> None:
    """Up is up and right is right, in both beams."""
    for scan in SCANS.values():
        g = scan(1.0, 1.0)
        image = Projector(g).fbp(disc_sinogram(g, 5, (14, 9)))[0, 0].numpy().clip(0.2) - 0.2
        rows, columns = g.image_shape
        v, u = np.mgrid[:rows, :columns]
        place = (u * image).sum() / image.sum(), (v * image).sum() / image.sum()
        assert place == pytest.approx(((columns - 1) / 2 + 14, (rows - 1) / 2 - 9), abs=0.5)


@pytest.mark.parametrize("window", list(WINDOWS))
def test_agrees_with_astra(window: str) -> None:
    astra = pytest.importorskip("astra", reason="astra-toolbox is absent: nothing to compare with")
    g = ParallelBeam((48, 40), 31, pixel_mm=1.7, bin_mm=1.3)
    A = Projector(g)
    y = disc_sinogram(g, 15, (3, -4)).float()
    half = 40 * 1.7 / 2, 48 * 1.7 / 2
    volume = astra.create_vol_geom(48, 40, -half[0], half[0], -half[1], half[1])
    projection = astra.create_proj_geom("parallel", 1.3, g.bins, np.asarray(g.angles))
    projector = astra.create_projector("linear", projection, volume)
    data, image = (
        astra.data2d.create("-sino", projection, y[0, 0].numpy()),
        astra.data2d.create("-vol", volume),
    )
    settings = astra.astra_dict("FBP") | {
        "ProjectorId": projector,
        "ProjectionDataId": data,
        "ReconstructionDataId": image,
        "option": {"FilterType": window},
    }
    algorithm = astra.algorithm.create(settings)
    astra.algorithm.run(algorithm)
    np.testing.assert_allclose(A.fbp(y, window)[0, 0].numpy(), astra.data2d.get(image), atol=1e-4)


def test_uneven_views_are_weighted() -> None:
    """Crowding half of the views together must not make the disc lopsided in height."""
    crowded = np.concatenate(
        [np.linspace(0, np.pi / 2, 80, endpoint=False), np.linspace(np.pi / 2, np.pi, 40, False)]
    )
    around = np.concatenate([crowded, crowded + np.pi])
    for g in (ParallelBeam(64, crowded), FanBeam(64, around, **SCANNER)):
        image = Projector(g).fbp(disc_sinogram(g, 18, (5, 3)))[0, 0].numpy()
        assert image[inside(g, 14, (5, 3))].mean() == pytest.approx(1, abs=0.01)


def test_weights_are_the_angle_each_view_stands_for() -> None:
    np.testing.assert_allclose(ParallelBeam(8, 5).view_weights, np.pi / 5)
    np.testing.assert_allclose(ParallelBeam(8, [0.5]).view_weights, np.pi)
    np.testing.assert_allclose(FanBeam(8, 5, **SCANNER).view_weights, 2 * np.pi / 5)
    # A wedge of a third of the half circle is unseen: its two neighbours weigh like the others.
    limited = ParallelBeam(8, np.linspace(0, 2 * np.pi / 3, 40, endpoint=False))
    np.testing.assert_allclose(limited.view_weights, np.pi / 60)
    short = FanBeam.short_scan(8, 50, **SCANNER)
    np.testing.assert_allclose(short.view_weights, (np.pi + 2 * short.half_fan) / 50)


@pytest.mark.parametrize("arc", [1.0, 1.3, 1.7])
def test_parkers_weights_share_every_line_once(arc: float) -> None:
    """The ray (β, γ) and the same line seen from the other side, (β + π − 2γ, −γ), weigh one together."""
    fan = FanBeam(32, 1, source_to_iso_mm=40, iso_to_detector_mm=0)
    length = np.pi + 2 * fan.half_fan * arc
    count = 4000
    g = fan.but(angles=tuple(0.4 + length * (np.arange(count) + 0.5) / count))
    weights, γ = redundancy_weights(g), fan_angles(g)
    β = length * (np.arange(count) + 0.5) / count
    for bin in range(0, g.bins, 5):
        if abs(γ[bin]) > g.half_fan:
            continue
        other = np.interp(β + np.pi - 2 * γ[bin], β, weights[:, g.bins - 1 - bin], left=0, right=0)
        other += np.interp(β - np.pi - 2 * γ[bin], β, weights[:, g.bins - 1 - bin], left=0, right=0)
        np.testing.assert_allclose(weights[:, bin] + other, 1, atol=5e-3)


def test_both_ways_to_smear_are_one() -> None:
    """numba's on the CPU and torch's elsewhere, and each is the transpose of itself turned."""
    g = FanBeam((13, 17), 7, source_to_iso_mm=30, iso_to_detector_mm=10, bin_shift=0.7, bins=9)
    y = torch.randn(3, 1, *g.sinogram_shape, dtype=torch.float64)
    x = torch.randn(3, 1, *g.image_shape, dtype=torch.float64)
    torch.testing.assert_close(smear(g, y, False), _smear_by_view(g, y, False))
    torch.testing.assert_close(smear(g, x, True), _smear_by_view(g, x, True))
    torch.testing.assert_close((smear(g, y, False) * x).sum(), (y * smear(g, x, True)).sum())


@pytest.mark.parametrize("window", list(WINDOWS))
def test_the_cut_off_drops_what_lies_beyond(window: str) -> None:
    y = torch.randn(2, 5, 64, dtype=torch.float64)
    torch.testing.assert_close(filter_sinogram(y, window, 1.0), filter_sinogram(y, window))
    impulse = torch.zeros(1, 256, dtype=torch.float64)
    impulse[0, 128] = 1
    spectrum = torch.fft.rfft(filter_sinogram(impulse, window, 0.5)).abs()[0]
    assert spectrum[68:].max() < 0.05 * spectrum.max()
    assert spectrum[20:50].min() > 0.05 * spectrum.max()


def test_refuses_what_it_cannot_do() -> None:
    A = Projector(ParallelBeam(16, 4))
    y = torch.zeros(1, 1, *A.sinogram_shape)
    with pytest.raises(ValueError, match="ram-lak"):
        A.fbp(y, "blackman")
    for cutoff in (0.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="Nyquist"):
            A.fbp(y, cutoff=cutoff)
    tilted = Projector(FanBeam(16, 4, detector_tilt=0.1, **SCANNER))
    with pytest.raises(ValueError, match=r"detector_tilt 0.1.*SIRT"):
        tilted.fbp(torch.zeros(1, 1, *tilted.sinogram_shape))

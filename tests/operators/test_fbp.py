"""Filtered back-projection: amplitudes, windows, views, and ASTRA's own where it has one."""

import astra
import numpy as np
import pytest
import torch

from ctrobust.core.geometry import ParallelBeam
from ctrobust.operators import Projector
from ctrobust.operators.filtering import WINDOWS


def disc(geometry: ParallelBeam, radius: float) -> torch.Tensor:
    """One inside the circle of `radius` times the half width."""
    rows, columns = geometry.image_shape
    v, u = np.mgrid[:rows, :columns]
    inside = np.hypot(u - (columns - 1) / 2, v - (rows - 1) / 2) < radius * min(rows, columns) / 2
    return torch.from_numpy(inside.astype(np.float32))[None, None]


@pytest.mark.parametrize("window", list(WINDOWS))
@pytest.mark.parametrize(("pixel_mm", "bin_mm"), [(1.0, 1.0), (2.8, 2.1), (0.5, 0.8)])
def test_a_disc_comes_back_at_its_height(window: str, pixel_mm: float, bin_mm: float) -> None:
    g = ParallelBeam(64, 90, pixel_mm=pixel_mm, bin_mm=bin_mm)
    A = Projector(g)
    height = A.fbp(A(disc(g, 0.7)), window)[0, 0, 22:42, 22:42].mean()
    assert height == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("window", list(WINDOWS))
def test_agrees_with_astra(window: str) -> None:
    g = ParallelBeam((48, 40), 31, pixel_mm=1.7, bin_mm=1.3)
    A = Projector(g)
    y = A(disc(g, 0.6))
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
    uneven = np.concatenate(
        [np.linspace(0, np.pi / 2, 60, endpoint=False), np.linspace(np.pi / 2, np.pi, 30, False)]
    )
    g = ParallelBeam(64, uneven)
    A = Projector(g)
    assert A.fbp(A(disc(g, 0.7)))[0, 0, 22:42, 22:42].mean() == pytest.approx(1, abs=0.01)


def test_weights_are_the_angle_each_view_stands_for() -> None:
    np.testing.assert_allclose(ParallelBeam(8, 5).view_weights, np.pi / 5)
    np.testing.assert_allclose(ParallelBeam(8, [0.5]).view_weights, np.pi)
    # A wedge of a third of the half circle is unseen: its two neighbours weigh like the others.
    limited = ParallelBeam(8, np.linspace(0, 2 * np.pi / 3, 40, endpoint=False))
    np.testing.assert_allclose(limited.view_weights, np.pi / 60)


def test_refuses_an_unknown_window() -> None:
    A = Projector(ParallelBeam(16, 4))
    with pytest.raises(ValueError, match="ram-lak"):
        A.fbp(torch.zeros(1, 1, *A.geometry.sinogram_shape), "blackman")

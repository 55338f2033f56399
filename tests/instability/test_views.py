"""More views: the same arc, the same network, and an error that falls for FBP."""

import numpy as np
import pytest
import torch
from torch import Tensor

from ctrobust.core.geometry import FanBeam, ParallelBeam
from ctrobust.instability import Nodule, more_views
from ctrobust.instability.views import rebuilt, with_views
from ctrobust.networks import FBPConvNet
from ctrobust.operators import Projector
from ctrobust.reconstruct import FilteredBackProjection, LearnedReconstructor

A = Projector(ParallelBeam(32, 12, pixel_mm=4.0), "matrix")


def images() -> Tensor:
    discs = [Nodule(d, 1000.0).draw((32, 32), (15.5, 15.5 + d / 40), 4.0) for d in (70.0, 90.0, 40.0)]
    return torch.stack(discs)[:, None].float()


def network() -> LearnedReconstructor:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LearnedReconstructor(A, FBPConvNet(4, 2), "hann")


def test_the_error_of_fbp_falls_and_its_rows_are_its_errors() -> None:
    x = images()
    rows = more_views(FilteredBackProjection(A), x, [12, 24, 48, 96])
    assert [row["views"] for row in rows] == [12, 24, 48, 96]
    assert [row["trained"] for row in rows] == [True, False, False, False]
    errors = [row["squared_error"] for row in rows]
    assert (np.diff(errors) < 0).all()
    assert errors[-1] < errors[0] / 2
    own = (A.fbp(A(x)) - x).square().sum((1, 2, 3))
    assert rows[0]["errors"] == pytest.approx(own.tolist(), rel=1e-5)
    assert rows[0]["mse"] == pytest.approx(float(own.mean()) / 32**2, rel=1e-5)


def test_the_network_is_the_same_and_held_in_eval_mode() -> None:
    f, x = network().train(), images()
    other = Projector(with_views(A.geometry, 24), "matrix")
    again = rebuilt(f, other)
    assert isinstance(again, LearnedReconstructor)
    assert (again.network, again.window, again.projector, again.training) == (f.network, "hann", other, True)
    before = {name: value.clone() for name, value in f.state_dict().items()}
    rows = more_views(f, x, [12, 24])
    assert f.network.training
    assert all(torch.equal(value, before[name]) for name, value in f.state_dict().items())
    own = (f.eval()(A(x)) - x).square().sum((1, 2, 3))
    assert rows[0]["errors"] == pytest.approx(own.tolist(), rel=1e-5)


def test_the_image_keeps_its_unit_however_many_views() -> None:
    x = images()
    inside = [float(rebuilt(FilteredBackProjection(A), B)(B(x))[0, 0, 14:18, 14:18].mean()) for B in scans()]
    assert inside == pytest.approx([1.0] * 4, rel=0.03)


def scans() -> list[Projector]:
    return [Projector(with_views(A.geometry, number), "matrix") for number in (12, 18, 24, 96)]


def test_the_dose_of_the_scan_is_held() -> None:
    """An FBP's noise then hardly knows of the views; at the same dose per ray it would halve twice from 12 to 48."""
    x = images()[:1].expand(8, -1, -1, -1)
    f = FilteredBackProjection(A, "hann")
    noise = {}
    for photons in (2e4, None):
        noise[photons] = np.array(
            [row["squared_error"] for row in more_views(f, x, [48, 192], photons=photons)]
        )
    added = noise[2e4] - noise[None]
    assert added[1] == pytest.approx(added[0], rel=0.3)
    rows = [more_views(f, x, [12], photons=2e4, seed=seed)[0]["errors"] for seed in (0, 0, 1)]
    assert rows[0] == rows[1] != rows[2]


@pytest.mark.parametrize(
    "scan",
    [
        ParallelBeam(16, 10),
        FanBeam(16, 10, source_to_iso_mm=40.0, iso_to_detector_mm=20.0),
        FanBeam.short_scan(16, 10, source_to_iso_mm=40.0, iso_to_detector_mm=20.0),
    ],
    ids=["parallel", "fan", "short scan"],
)
@pytest.mark.parametrize("number", [10, 15, 40])
def test_the_arc_is_kept(scan: ParallelBeam | FanBeam, number: int) -> None:
    again = with_views(scan, number)
    gaps = np.diff(again.angles)
    assert np.allclose(gaps, np.diff(scan.angles)[0] * 10 / number)
    assert again.but(angles=scan.angles) == scan
    # The first view stands where in its part of the arc the first of the scan did.
    assert again.angles[0] / gaps[0] == pytest.approx(scan.angles[0] / np.diff(scan.angles)[0])
    if number == 10:
        assert np.allclose(again.angles, scan.angles)


def test_what_cannot_be_rebuilt_is_refused() -> None:
    with pytest.raises(ValueError, match="equally spaced"):
        with_views(ParallelBeam(16, [0.0, 0.1, 0.5]), 6)
    with pytest.raises(ValueError, match="rebuild"):
        rebuilt(lambda y: y, A)

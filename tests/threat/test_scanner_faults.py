"""Scanner faults: inside their box, exactly what such a scanner would have measured, and the worst of it."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ctrobust.core.geometry import FanBeam, ParallelBeam
from ctrobust.networks import FBPConvNet
from ctrobust.operators import Projector, mismatch
from ctrobust.operators import faults as detector
from ctrobust.reconstruct import FilteredBackProjection, LearnedReconstructor
from ctrobust.threat import faults
from ctrobust.threat.ascent import squared_error
from ctrobust.threat.faults import DeadChannels, ScannerFault
from ctrobust.threat.response import Search

A = Projector(ParallelBeam(16, 6, pixel_mm=10.0), "matrix")
FBP = FilteredBackProjection(A)


def pair(A: Projector = A, count: int = 3) -> tuple[Tensor, Tensor]:
    """With noise in y: it must stay where it is."""
    x = torch.rand(count, 1, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noise = torch.randn(A(x).shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return A(x) + noise, x


def real(geometry: ParallelBeam | FanBeam, x: Tensor) -> Tensor:
    return Projector(geometry, "matrix")(x)


# Fault, its box, and y′ of one sample by the functions of `operators`, from the settings that were found.
Direct = Callable[[Projector, Tensor, Tensor, Tensor], Tensor]
FORMULAS: dict[str, tuple[ScannerFault, float, int, Direct]] = {
    "angle_jitter": (
        faults.angle_jitter(0.01),
        0.01,
        6,
        lambda A, y, x, s: y + real(mismatch.angle_offset(A.geometry, s.numpy()), x) - A(x),
    ),
    "centre_shift": (
        faults.centre_shift(3.0),
        3.0,
        1,
        lambda A, y, x, s: y + real(mismatch.centre_shift(A.geometry, float(s)), x) - A(x),
    ),
    "pixel_size": (
        faults.pixel_size(0.02),
        0.02,
        1,
        lambda A, y, x, s: y + real(mismatch.wrong_pixel_size(A.geometry, 1 + float(s)), x) - A(x),
    ),
    "gain_drift": (
        faults.gain_drift(0.05),
        0.05,
        1,
        lambda A, y, x, s: detector.gain_drift(y, 1 + float(s)),
    ),
    "intensity_drift": (
        faults.intensity_drift(0.05),
        0.05,
        6,
        lambda A, y, x, s: detector.intensity_drift(y, 1 + s),
    ),
    "ring": (faults.ring(0.03), 0.03, A.sinogram_shape[1], lambda A, y, x, s: detector.ring(y, 1 + s)),
}
every_fault = pytest.mark.parametrize("name", FORMULAS)


@every_fault
@pytest.mark.parametrize("beam", ["parallel", "fan"])
def test_delta_is_what_the_faulty_scanner_measures(name: str, beam: str) -> None:
    fault, most, count, direct = FORMULAS[name]
    scanner = A
    if beam == "fan":
        fan = FanBeam(16, 6, source_to_iso_mm=400.0, iso_to_detector_mm=300.0, pixel_mm=10.0)
        scanner = Projector(fan, "matrix")
        count = scanner.sinogram_shape[1] if name == "ring" else count
    y, x = pair(scanner)
    delta, settings = fault.find(FilteredBackProjection(scanner), y, x)
    assert settings.shape == (3, count)
    assert (settings.abs() <= most).all()
    assert settings.any()
    for i in range(3):
        one = direct(scanner, y[i : i + 1], x[i : i + 1], settings[i])
        torch.testing.assert_close(y[i : i + 1] + delta[i : i + 1], one, rtol=1e-12, atol=1e-9)


@every_fault
def test_it_is_worse_than_faults_drawn_in_the_same_box(name: str) -> None:
    fault, most, count, direct = FORMULAS[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = LearnedReconstructor(A, FBPConvNet(4, 3)).double().eval()
    y, x = pair()
    for f in (FBP, network):
        found = squared_error(f, y + fault(f, y, x), x)
        for seed in range(5):
            drawn = torch.rand(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
            other = torch.cat(
                [direct(A, y[i : i + 1], x[i : i + 1], most * (2 * drawn - 1)) for i in range(3)]
            )
            # A grid of nine may miss the top of a single setting by a little.
            assert (found >= squared_error(f, other, x) * (1 - 1e-3)).all()


def test_of_all_ways_to_jitter_three_views_it_finds_one_of_the_worst() -> None:
    """Each of the 5³ is tried. The search climbs, so that it may end at a top that is not the highest."""
    scanner = Projector(ParallelBeam(16, 3, pixel_mm=10.0), "matrix")
    f, (y, x) = FilteredBackProjection(scanner), pair(scanner, 1)
    found = squared_error(f, y + faults.angle_jitter(0.05, grid=5)(f, y, x), x)
    grid = torch.linspace(-0.05, 0.05, 5, dtype=torch.float64)
    turned = [real(mismatch.angle_offset(scanner.geometry, float(s)), x) - scanner(x) for s in grid]
    errors = []
    for choice in itertools.product(range(5), repeat=3):
        delta = torch.cat([turned[j][:, :, view : view + 1] for view, j in enumerate(choice)], 2)
        errors.append(squared_error(f, y + delta, x))
    assert sum(bool(error > found * (1 + 1e-12)) for error in errors) <= 0.03 * len(errors)
    assert found > sorted(errors)[len(errors) // 2]


def test_of_all_pairs_of_dead_bins_it_finds_one_of_the_worst() -> None:
    y, x = pair(count=2)
    delta, dead = DeadChannels(2).find(FBP, y, x)
    bins = y.shape[-1]
    assert ((dead == 0) | (dead == 1)).all()
    assert (dead.sum(1) <= 2).all()
    for i in range(2):
        one, truth = y[i : i + 1], x[i : i + 1]
        assert torch.equal(delta[i : i + 1], detector.dead_channels(one, dead[i] > 0) - one)
        errors = []
        for pair_of_bins in itertools.combinations(range(bins), 2):
            mask = torch.zeros(bins, dtype=torch.bool)
            mask[list(pair_of_bins)] = True
            errors.append(float(squared_error(FBP, detector.dead_channels(one, mask), truth)))
        found = float(squared_error(FBP, one + delta[i : i + 1], truth))
        assert sum(error > found for error in errors) <= 0.03 * len(errors)


def test_for_a_linear_f_no_step_of_the_search_falls() -> None:
    y, x = pair()
    fault = FORMULAS["ring"][0]
    errors = []
    for steps in (1, 2, 3, 5, 8):
        search = Search(steps=steps, restarts=1)
        errors.append(squared_error(FBP, y + faults.ring(0.03, search=search)(FBP, y, x), x))
    assert all((later >= earlier).all() for earlier, later in itertools.pairwise(errors))
    assert (errors[-1] <= squared_error(FBP, y + fault(FBP, y, x), x)).all()


def test_a_box_of_nothing_is_no_fault() -> None:
    y, x = pair()
    for fault in (faults.angle_jitter(0.0), faults.centre_shift(0.0), faults.ring(0.0), DeadChannels(0)):
        delta, settings = fault.find(FBP, y, x)
        torch.testing.assert_close(delta, torch.zeros_like(y), rtol=0, atol=1e-9)
        assert not settings.any()


def test_mistakes_are_named() -> None:
    y, x = pair()
    for make in (
        lambda: faults.centre_shift(-1.0),
        lambda: faults.ring(math.nan),
        lambda: faults.ring(grid=1),
    ):
        with pytest.raises(ValueError, match="most"):
            make()
    with pytest.raises(ValueError, match="count"):
        DeadChannels(-1)
    with pytest.raises(ValueError, match="projector"):
        faults.centre_shift()(lambda y: FBP(y), y, x)
    assert torch.equal(faults.ring()(lambda y: FBP(y), y, x), faults.ring()(FBP, y, x))

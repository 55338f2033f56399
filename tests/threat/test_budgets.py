"""Budgets: each against its formula in float64, and the promises of a projection."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dct
from torch import Tensor

from ctrobust.core.geometry import FanBeam, ParallelBeam
from ctrobust.core.units import WATER_PER_MM
from ctrobust.operators import Projector, low_dose
from ctrobust.threat import L2Ball, Linf, Whitened
from ctrobust.threat.budget import Budget
from ctrobust.threat.confined import Confined, LowPass, Readings, detector_range, shadow

PHOTONS = 4e4
MASK = torch.zeros(6, 8, dtype=torch.bool)
MASK[1:4, 2:7] = True

BUDGETS: dict[str, Budget] = {
    "L2": L2Ball(1.0),
    "L2, mm": L2Ball(1.0, relative=False),
    "Linf": Linf(1.0),
    "Linf, mm": Linf(1.0, relative=False),
    "whitened": Whitened(1.0, PHOTONS, 5.0),
    "L2, low": Confined(L2Ball(1.0), LowPass(0.4)),
    "Linf, low": Confined(Linf(1.0), LowPass(0.4)),
    "Linf, local": Confined(Linf(1.0), Readings(MASK)),
    "whitened, local": Confined(Whitened(1.0, PHOTONS), Readings(MASK)),
}
every_budget = pytest.mark.parametrize("kind", BUDGETS)


def sinograms(seed: int, double: bool = True) -> Tensor:
    y = 200 * torch.rand(4, 1, 6, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return y if double else y.float()


def directions(seed: int, like: Tensor) -> Tensor:
    drawn = torch.randn(like.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn.to(like)


def inner(one: Tensor, other: Tensor) -> Tensor:
    return (one.double() * other.double()).flatten(1).sum(1)


@every_budget
@settings(max_examples=12, deadline=None)
@given(
    eps=st.just(0.0) | st.floats(1e-9, 20),
    power=st.integers(-6, 6),
    double=st.booleans(),
    seed=st.integers(0, 99),
)
def test_projection_lands_inside_and_leaves_the_inside_alone(
    kind: str, eps: float, power: int, double: bool, seed: int
) -> None:
    budget, y = BUDGETS[kind].with_eps(eps), sinograms(seed, double)
    delta = 10.0**power * directions(seed, y)
    once = budget.project(delta, y)
    assert (budget.size(once, y) <= eps).all()
    # Rounding is all that a second time may change.
    moved = (budget.project(once, y) - once).flatten(1).norm(dim=1)
    assert (moved <= (1e-14 if double else 1e-6) * once.flatten(1).norm(dim=1)).all()
    if not isinstance(budget, Confined):
        inside = budget.size(delta, y) <= eps * (1 - 1e-5)
        assert torch.equal(once[inside], delta[inside])


@every_budget
@pytest.mark.parametrize("share", [0.5, 0.99999, 1.00001, 1.5])
def test_what_is_just_outside_is_brought_back_and_what_is_just_inside_stays(kind: str, share: float) -> None:
    budget, y = BUDGETS[kind].with_eps(0.3), sinograms(2)
    delta = budget.with_eps(0.3 * share).random(y, 0)
    found = budget.size(budget.project(delta, y), y)
    torch.testing.assert_close(
        found, torch.full((4,), 0.3 * min(share, 1), dtype=torch.float64), rtol=1e-9, atol=0
    )


def test_a_confined_direction_climbs_whatever_the_rest_of_the_gradient_says() -> None:
    for kind in ("L2, low", "Linf, low"):
        for seed in range(20):
            budget, y = BUDGETS[kind], sinograms(seed)
            g = directions(seed, y)
            g = 100 * g - 99.9 * LowPass(0.4)(g)
            assert (inner(g, budget.steepest(g, y)) > 0).all()


@pytest.mark.parametrize("kind", ["Linf", "Linf, mm", "whitened"])
def test_projecting_twice_is_projecting_once_to_the_bit(kind: str) -> None:
    for seed in range(20):
        y = sinograms(seed, double=seed % 2 == 0)
        once = BUDGETS[kind].project(300 * directions(seed, y), y)
        assert torch.equal(BUDGETS[kind].project(once, y), once)


@every_budget
def test_the_projection_is_the_nearest(kind: str) -> None:
    """In the budget's own metric: ⟨δ − Πδ, p − Πδ⟩ ≤ 0 for all p that are allowed."""
    if kind == "Linf, low":  # its projection is only promised to be allowed
        return
    budget, y = BUDGETS[kind], sinograms(1)
    weights = 1 / Whitened(1.0, PHOTONS, 5.0 if kind == "whitened" else 0.0).sigma(y).square()
    metric = weights if kind.startswith("whitened") else torch.ones_like(y)
    delta = 500 * directions(2, y)
    nearest = budget.project(delta, y)
    scale = inner(delta, metric * delta)
    for seed in range(30):
        allowed = budget.project(500 * directions(seed + 3, y), y)
        assert (inner(delta - nearest, metric * (allowed - nearest)) <= 1e-9 * scale).all()


@every_budget
def test_the_steepest_direction_has_length_one_and_no_other_climbs_faster(kind: str) -> None:
    budget, y = BUDGETS[kind], sinograms(1)
    g = directions(5, y)
    u = budget.steepest(g, y)
    unit = budget.with_eps(1.0)
    length = unit.size(u, y) * (unit.radius(y) if "mm" not in kind else 1)
    torch.testing.assert_close(length, torch.ones(4, dtype=torch.float64), rtol=1e-12, atol=0)
    assert (inner(g, u) > 0).all()
    if kind == "Linf, low":
        return
    for seed in range(30):
        other = budget.random(y, seed) / budget.radius(y)[:, None, None, None]
        assert (inner(g, other) <= inner(g, u) * (1 + 1e-12)).all()


@every_budget
def test_random_draws_are_of_full_length_and_their_own(kind: str) -> None:
    budget, y = BUDGETS[kind].with_eps(0.5), sinograms(3)
    delta = budget.random(y, 7)
    torch.testing.assert_close(budget.size(delta, y), torch.full((4,), 0.5, dtype=torch.float64))
    assert torch.equal(delta[2:3], budget.random(y[2:3], 7))
    assert not torch.equal(delta, budget.random(y, 8))
    assert not torch.equal(budget.random(y.flip(-1), 7).flip(-1), delta)
    signs = torch.cat([budget.random(y, seed) for seed in range(20)]).sign()
    assert abs(float(signs.sum() / signs.abs().sum())) < 0.1


@every_budget
def test_rescaling_keeps_the_direction(kind: str) -> None:
    budget, y = BUDGETS[kind].with_eps(0.3), sinograms(3)
    delta = 1e-5 * budget.random(y, 1)
    scaled = budget.rescale(delta, y)
    torch.testing.assert_close(budget.size(scaled, y), torch.full((4,), 0.3, dtype=torch.float64))
    factors = budget.radius(y) / (1e-5 * budget.radius(y))
    torch.testing.assert_close(scaled, delta * factors[:, None, None, None])
    assert torch.equal(budget.rescale(torch.zeros_like(y), y), torch.zeros_like(y))


@pytest.mark.parametrize("make", [L2Ball, Linf, lambda eps: Whitened(eps, PHOTONS)])
@pytest.mark.parametrize("eps", [-0.1, float("nan"), float("inf")])
def test_a_budget_has_a_size(make: Any, eps: float) -> None:
    with pytest.raises(ValueError, match="eps"):
        make(eps)


def test_whitened_is_the_formula() -> None:
    y = sinograms(4)
    delta, g = 3 * directions(1, y), directions(2, y)
    budget = Whitened(2.0, PHOTONS, electronic_counts=5.0)
    counts = PHOTONS * np.exp(-WATER_PER_MM * y.numpy())
    sigma = np.sqrt(1 / counts + 25 / counts**2) / WATER_PER_MM
    z = delta.numpy() / sigma
    lengths = np.sqrt((z**2).sum((1, 2, 3)))
    np.testing.assert_allclose(budget.size(delta, y), lengths, rtol=1e-13)
    expected = sigma * z * np.minimum(1, 2 / lengths)[:, None, None, None]
    np.testing.assert_allclose(budget.project(delta, y), expected, rtol=1e-13)
    step = sigma**2 * g.numpy()
    step /= np.sqrt(((sigma * g.numpy()) ** 2).sum((1, 2, 3)))[:, None, None, None]
    np.testing.assert_allclose(budget.steepest(g, y), step, rtol=1e-13)
    assert budget.noise_share(y) == 2 / math.sqrt(48)


def test_a_noise_draw_has_a_whitened_length_of_root_n() -> None:
    """So that k/√n says how much of a noise draw δ is. The mean of χ²₄₈ over 400 draws is 48 within 2 %."""
    y = sinograms(4)[:1]
    noisy = low_dose(y.expand(400, 1, 6, 8), PHOTONS, torch.Generator().manual_seed(0))
    squares = Whitened(1.0, PHOTONS).size(noisy - y, y.expand(400, 1, 6, 8)).square()
    assert abs(float(squares.mean()) / 48 - 1) < 0.03


def test_an_ideal_observer_is_right_as_often_as_k_says() -> None:
    """Pairs y + n, y + δ + n′ told apart by δᵀΣ⁻¹: right in Φ(k/√2) of them, 76 % at k = 1."""
    y = sinograms(4)[:1]
    budget = Whitened(1.0, PHOTONS)
    delta, sigma = budget.random(y, 0), budget.sigma(y)
    noise = sigma * torch.randn(
        2, 40000, 6, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    matched = (delta / sigma.square())[0, 0]
    without, with_delta = ((noise[i] + i * delta[0, 0]) * matched for i in (0, 1))
    right = (with_delta.sum((1, 2)) > without.sum((1, 2))).double().mean()
    assert abs(float(right) - 0.5 * (1 + math.erf(0.5))) < 0.01


def test_linf_is_the_formula() -> None:
    y = sinograms(4)
    delta, g = 100 * directions(1, y), directions(2, y)
    radius = 0.1 * y.abs().amax((1, 2, 3), keepdim=True)
    torch.testing.assert_close(Linf(0.1).project(delta, y), torch.clamp(delta, -radius, radius))
    torch.testing.assert_close(Linf(7.0, relative=False).project(delta, y), delta.clamp(-7, 7))
    assert torch.equal(Linf(0.1).steepest(g, y), g.sign())


def test_low_pass_is_a_cut_in_the_cosine_transform() -> None:
    delta = directions(1, sinograms(0))
    spectrum = dct(delta.numpy(), norm="ortho")
    kept = dct(LowPass(0.4)(delta).numpy(), norm="ortho")
    np.testing.assert_allclose(kept[..., :4], spectrum[..., :4], atol=1e-14)  # k ≤ 0.4·8
    assert np.abs(kept[..., 4:]).max() < 1e-14
    torch.testing.assert_close(LowPass(1.0)(delta), delta)


def test_a_detector_range_is_that_of_the_bins() -> None:
    assert detector_range(8).mask.nonzero().flatten().tolist() == [3, 4]
    assert detector_range(10, 0.0, 0.2).mask.nonzero().flatten().tolist() == [0, 1]


@pytest.mark.parametrize(
    "geometry",
    [
        ParallelBeam((14, 17), 9, pixel_mm=2.0),
        ParallelBeam(16, 7, pixel_mm=2.0, bin_mm=1.1, bins=40),
        FanBeam(16, 9, source_to_iso_mm=60.0, iso_to_detector_mm=40.0, pixel_mm=2.0),
    ],
    ids=["parallel", "fine bins", "fan"],
)
@pytest.mark.parametrize(("rows", "columns"), [(slice(3, 6), slice(8, 13)), (slice(0, 1), slice(2, 3))])
def test_a_shadow_is_what_the_region_touches_and_hardly_more(
    geometry: ParallelBeam | FanBeam, rows: slice, columns: slice
) -> None:
    x = torch.zeros(1, 1, *geometry.image_shape)
    x[..., rows, columns] = 1
    touched = Projector(geometry, "matrix")(x)[0, 0] > 0
    mask = shadow(geometry, rows, columns).mask
    assert mask.shape == touched.shape
    assert not (touched & ~mask).any()
    # At most a pixel too far at either end, as seen on the detector.
    pixel = geometry.pixel_mm / geometry.bin_mm * getattr(geometry, "magnification", 1)
    assert ((mask.sum(1) - touched.sum(1)) <= 2 * math.ceil(2.5 * pixel)).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Whitened(1.0, -5.0), "photons"),
        (lambda: LowPass(1.5), "cutoff"),
        (lambda: Readings(torch.zeros(4, dtype=torch.bool)), "mask"),
        (lambda: Readings(torch.ones(4)), "mask"),
        (lambda: detector_range(8, 0.7, 0.2), "detector"),
        (lambda: Confined(Confined(L2Ball(1.0), LowPass(0.5)), Readings(MASK)), "confined"),
    ],
)
def test_mistakes_are_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()

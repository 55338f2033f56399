"""Structures have the area, contrast and place that they are given, and lie inside the body."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ctrobust.instability import Letters, Nodule, body_mask, place

PLACES = st.tuples(st.floats(14, 18), st.floats(15, 19))


@settings(max_examples=30, deadline=None)
@given(centre=PLACES, diameter_mm=st.floats(2, 20), pixel_mm=st.sampled_from([0.7, 1.0, 1.9]))
def test_a_disc_has_its_area_contrast_and_place(
    centre: tuple[float, float], diameter_mm: float, pixel_mm: float
) -> None:
    s = Nodule(diameter_mm, 50.0).draw((34, 34), centre, pixel_mm)
    area = math.pi * diameter_mm**2 / 4
    covered = s / 0.05
    assert float(covered.sum()) * pixel_mm**2 == pytest.approx(area, rel=5e-3)
    assert covered.min() >= 0
    assert covered.max() <= 1 + 1e-12
    rows, columns = (
        torch.arange(34.0, dtype=torch.float64) @ c / covered.sum() for c in (covered.sum(1), covered.sum(0))
    )
    # A pixel that is covered in part counts at its middle: 0.045 pixels off at most, of a disc of 1.6 pixels.
    assert (float(rows), float(columns)) == pytest.approx(centre, abs=0.05)
    inside = (torch.arange(34)[:, None] - centre[0]) ** 2 + (torch.arange(34) - centre[1]) ** 2
    assert torch.all(covered[inside.sqrt() < diameter_mm / 2 / pixel_mm - 0.71] > 1 - 1e-9)
    assert not covered[inside.sqrt() > diameter_mm / 2 / pixel_mm + 0.71].any()


@pytest.mark.parametrize("slice_mm", [1.0, 5.0, 8.0, 20.0])
def test_a_sphere_fills_its_share_of_the_slice(slice_mm: float) -> None:
    s = Nodule(8.0, -200.0, slice_mm).draw((30, 30), (14.3, 15.1), 0.5)
    h = min(slice_mm / 2, 4.0)
    volume = 2 * math.pi * (16 * h - h**3 / 3)
    assert float(s.sum()) * 0.25 * slice_mm == pytest.approx(-0.2 * volume, rel=5e-3)
    assert float(s.min()) == pytest.approx(-0.2 * min(1, 8 / slice_mm), rel=0.02)


@settings(max_examples=10, deadline=None)
@given(centre=PLACES)
def test_letters_have_their_ink_and_place(centre: tuple[float, float]) -> None:
    """DejaVu's I is a rectangle of 9.96 by 72.9 hundredths of its size."""
    s = Letters("I", 14.0, 100.0).draw((34, 34), centre, 1.0) / 0.1
    rows, columns = (np.average(np.arange(34), weights=s.sum(axis).numpy()) for axis in (1, 0))
    assert (rows, columns) == pytest.approx(centre, abs=1 / 16), "to a sub-pixel"
    assert float(s.sum()) == pytest.approx(14**2 * 9.96 / 72.9, rel=0.05)
    assert np.ptp(np.nonzero(s.sum(1).numpy())[0]) in (13, 14)


def test_letters_are_upright_and_have_their_holes() -> None:
    o = Letters("O", 20.0, 100.0).draw((40, 40), (20.0, 20.0), 1.0)
    assert o[20, 20] == 0
    assert o.max() == pytest.approx(0.1)
    t = Letters("T", 20.0, 100.0).draw((40, 40), (20.0, 20.0), 1.0)
    assert t[:20].sum() > 1.5 * t[20:].sum()
    j = Letters("L", 20.0, 100.0).draw((40, 40), (20.0, 20.0), 1.0)
    assert j[:, :20].sum() > 1.5 * j[:, 20:].sum()


@pytest.mark.parametrize("structure", [Nodule(9.0, 30.0), Letters("CT", 9.0, 30.0)])
def test_moving_by_a_pixel_moves_the_pixels_and_the_edge_cuts(structure: Nodule | Letters) -> None:
    s = structure.draw((40, 50), (20.2, 21.7), 1.0)
    assert torch.allclose(s[3:, 5:], structure.draw((37, 45), (17.2, 16.7), 1.0), atol=1e-12)
    assert torch.allclose(s[20:, :22], structure.draw((20, 22), (0.2, 21.7), 1.0), atol=1e-12)
    assert not structure.draw((40, 50), (-30.0, 90.0), 1.0).any()


def bodies() -> torch.Tensor:
    """Two discs of water with a lung each, and a table that is not the body."""
    x = torch.stack([Nodule(40.0, 1000.0).draw((64, 64), (30.0, column), 1.0) for column in (28.0, 35.0)])
    x -= Nodule(12.0, 800.0).draw((64, 64), (30.0, 30.0), 1.0)
    x[:, 58:61] = 1.0
    return x[:, None].float()


def test_the_body_is_the_largest_part_and_holds_its_lungs() -> None:
    mask = body_mask(bodies())
    assert mask[:, 0, 30, 30].all()
    assert not mask[:, 0, 59].any()
    assert mask.sum((1, 2, 3)).float().mean() == pytest.approx(math.pi * 400, rel=0.02)


def test_places_lie_inside_and_follow_seed_and_sample() -> None:
    x, nodule, seen = bodies(), Nodule(10.0, 50.0), []
    for seed in range(30):
        s, centres = place(nodule, x, 1.0, seed)
        assert s.dtype == x.dtype
        assert not s[~body_mask(x)].any()
        assert s.double().sum((1, 2, 3)) == pytest.approx(np.full(2, 0.05 * math.pi * 25), rel=5e-3)
        alone = [place(nodule, x[i : i + 1], 1.0, seed) for i in range(2)]
        assert torch.equal(s, torch.cat([one for one, _ in alone]))
        assert torch.equal(centres, place(nodule, x, 1.0, seed)[1])
        seen.append(centres)
    spread = torch.stack(seen).std(0)
    assert (spread > 5).all()
    assert (torch.stack(seen) % 1 != 0).all()


def test_within_is_kept_to_and_may_be_too_small() -> None:
    x = bodies()
    lung = torch.zeros_like(x, dtype=torch.bool)
    lung[:, :, 22:38, 22:38] = True
    s, _ = place(Nodule(6.0, 50.0), x, 1.0, 0, lung)
    assert not s[~lung].any()
    with pytest.raises(ValueError, match="smaller"):
        place(Nodule(20.0, 50.0), x, 1.0, 0, lung)


@pytest.mark.parametrize("wrong", [(0.0, 1.0, 0.0), (float("inf"), 1.0, 0.0), (1.0, 1.0, -1.0)])
def test_what_nothing_has_is_refused(wrong: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="give"):
        Nodule(*wrong)
    with pytest.raises(ValueError, match="letters"):
        Letters(" ", 3.0, 1.0)

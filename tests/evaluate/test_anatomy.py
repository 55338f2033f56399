"""Errors by anatomy: what was put where is found there, once, and nowhere else."""

import numpy as np
import pytest
import torch

from ctrobust.evaluate.anatomy import FEWEST_PIXELS, RANGES_HU, anatomy, anatomy_rows, region_sums, regions

LUNG, WATER, BONE = 0.2, 1.04, 1.7


@pytest.fixture
def x():
    """Eight bodies with a lung, a bone, and air around; the last has no bone."""
    v, u = np.mgrid[-32:32, -32:32] + 0.5
    body = np.where(np.hypot(u, v) < 24, WATER, 0.0)
    body[np.hypot(u + 10, v) < 7] = LUNG
    with_bone = np.where(np.hypot(u - 10, v) < 5, BONE, body)
    return torch.from_numpy(np.stack([with_bone] * 7 + [body]))[:, None]


def row(rows, name):
    return next(each for each in rows if each["region"] == name)


def test_the_parts_are_apart_and_make_up_the_image(x):
    masks = regions(x)
    parts = [masks[name] for name in RANGES_HU]
    assert torch.stack(parts).sum(0).max() == 1
    assert torch.equal(torch.stack(parts).any(0), masks["body"])
    assert torch.equal(masks["outside"], ~masks["body"])


def test_air_around_the_patient_is_no_lung(x):
    masks = regions(x)
    assert int(masks["lung"][0].sum()) == int((x[0] == LUNG).sum())
    assert not (masks["lung"] & (x == 0)).any()


@pytest.mark.parametrize(("name", "value"), [("lung", LUNG), ("soft tissue", WATER), ("bone", BONE)])
def test_an_error_is_found_where_it_was_put(x, name, value):
    delta = torch.where(x == value, 0.03, 0.0).double()
    rows = anatomy(lambda y: y, x, x, delta, list("abcdefgh"))
    found = row(rows, name)["attacked"]
    assert found["rmse_hu"] == pytest.approx(30)
    assert found["bias_hu"] == pytest.approx(30)
    assert found["share"] == pytest.approx(1)
    assert row(rows, name)["clean"]["rmse_hu"] == 0
    for other in {"outside", *RANGES_HU} - {name}:
        assert row(rows, other)["attacked"]["rmse_hu"] == 0


def test_shares_sum_to_one_and_means_are_over_slices(x):
    generator = torch.Generator().manual_seed(0)
    delta = 0.05 * torch.randn(x.shape, generator=generator, dtype=torch.float64)
    rows = anatomy(lambda y: y, x, x, delta, list("abcdefgh"))
    parts = [row(rows, name)["attacked"]["share"] for name in ("outside", *RANGES_HU)]
    assert sum(parts) == pytest.approx(1)
    assert row(rows, "body")["attacked"]["share"] == pytest.approx(sum(parts[1:]))
    body = regions(x)["body"]
    by_hand = [1000 * float(delta[i][body[i]].square().mean().sqrt()) for i in range(len(x))]
    assert row(rows, "body")["attacked"]["rmse_hu"] == pytest.approx(np.mean(by_hand))
    low, high = row(rows, "body")["attacked"]["rmse_hu_ci95"]
    assert low < np.mean(by_hand) < high
    assert sum(row(rows, name)["pixels"] for name in ("body", "outside")) == pytest.approx(1)


def test_batches_are_joined(x):
    delta = 0.01 * torch.arange(8, dtype=torch.float64)[:, None, None, None] * torch.ones_like(x)
    whole = anatomy(lambda y: y, x, x, delta, list("abcdefgh"))
    parts = [slice(0, 3), slice(3, 8)]
    clean = [region_sums(x[part], x[part]) for part in parts]
    attacked = [region_sums((x + delta)[part], x[part]) for part in parts]
    assert anatomy_rows(clean, attacked, list("abcdefgh")) == whole


def test_a_slice_without_bone_says_nothing_of_bone(x):
    rows = anatomy(lambda y: y, x, x, 0.01 * torch.ones_like(x))
    assert row(rows, "bone")["n_slices"] == 7
    assert row(rows, "lung")["n_slices"] == 8
    none = anatomy(lambda y: y, x[7:], x[7:], torch.zeros_like(x[7:]))
    assert row(none, "bone")["attacked"] == {
        "rmse_hu": None,
        "rmse_hu_ci95": None,
        "bias_hu": None,
        "share": None,
    }
    assert int((x[0] == BONE).sum()) > FEWEST_PIXELS


def test_fewer_than_six_patients_give_no_interval(x):
    rows = anatomy(lambda y: y, x, x, 0.01 * torch.ones_like(x), list("aabbccdd"))
    assert row(rows, "body")["attacked"]["rmse_hu_ci95"] is None

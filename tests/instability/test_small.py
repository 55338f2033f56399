"""The row of a small structure: finite, repeatable, and worse under attack."""

import math

import pytest
import torch
from torch import Tensor

from ctrobust.core.geometry import ParallelBeam
from ctrobust.instability import Nodule, noisy_ensemble, small_structure
from ctrobust.instability.small import Row
from ctrobust.networks import FBPConvNet
from ctrobust.operators import Projector
from ctrobust.operators.noise import noise_variance
from ctrobust.reconstruct import FilteredBackProjection, LearnedReconstructor
from ctrobust.threat import L2Ball, ProjectedGradientAscent

A = Projector(ParallelBeam(32, 24, pixel_mm=8.0), "matrix")
ATTACK = ProjectedGradientAscent(L2Ball(0.01), steps=6, restarts=1)
NODULE = Nodule(30.0, 60.0)


def images() -> Tensor:
    return torch.stack([Nodule(d, 1000.0).draw((32, 32), (15.5, 15.5), 8.0) for d in (190.0, 150.0)])[:, None]


def rows(f: object, x: Tensor) -> list[Row]:
    return small_structure(f, x, NODULE, ATTACK, photons=1e5, draws=20, seed=3)  # type: ignore[arg-type]


def test_fbp_shows_a_nodule_and_the_attack_takes_it_away() -> None:
    x = images()
    found = rows(FilteredBackProjection(A), x)
    for row in found:
        assert set(row) == {"row", "column", "footprint", "crc", "crc_hidden", "crc_invented"} | {
            f"{observer}{state}" for observer in ("npw", "cho") for state in ("", "_hidden", "_invented")
        }
        assert row["crc"] == pytest.approx(1, abs=0.35)
        assert row["crc_hidden"] < 0.5 * row["crc"]
        # What a linear f adds for δ does not depend on the nodule; y differs by its own contribution to ‖y‖.
        assert row["crc"] - row["crc_hidden"] == pytest.approx(row["crc_invented"], rel=0.02)
        for observer in ("npw", "cho"):
            clean, hidden, invented = (row[f"{observer}{state}"] for state in ("", "_hidden", "_invented"))
            assert clean.d_prime > 1
            assert hidden.d_prime < clean.low
            assert invented.low > 0
    again = [rows(FilteredBackProjection(A), x[i : i + 1])[0] for i in range(2)]
    for one, other in zip(found, again, strict=True):
        assert _flat(one) == pytest.approx(_flat(other), rel=1e-6)


def _flat(row: Row) -> list[float]:
    return [number for value in row.values() for number in (value if isinstance(value, tuple) else (value,))]


def test_any_network_gets_finite_rows_and_keeps_its_mode() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        f = LearnedReconstructor(A, FBPConvNet(4, 2)).train()
    found = rows(f, images()[:1].float())
    assert all(math.isfinite(number) for number in _flat(found[0]))
    assert found[0]["crc_hidden"] < found[0]["crc"]
    assert all(module.training for module in f.modules())


def test_an_ensemble_varies_as_photons_do_and_is_moved_by_delta() -> None:
    y = A(images()[:1])
    delta = 5 * torch.ones_like(y)
    clean, moved = (noisy_ensemble(lambda y: y, y, 1e5, 60, 0, d) for d in (None, delta))
    assert clean.shape == (60, *y.shape[1:])
    torch.testing.assert_close(moved - clean, delta.expand_as(clean))
    variance = noise_variance(y[0], 1e5)
    assert float((clean.var(0) / variance).mean()) == pytest.approx(1, abs=0.02)
    assert torch.equal(clean, noisy_ensemble(lambda y: y, y, 1e5, 60, 0))
    assert not torch.equal(clean, noisy_ensemble(lambda y: y, y, 1e5, 60, 1))

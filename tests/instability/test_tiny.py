"""The protocol of Antun et al. is theirs to the digit, and ours finds more at the same size."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from ctrobust.core.geometry import ParallelBeam
from ctrobust.instability import TinyPerturbation, side_by_side
from ctrobust.networks import FBPConvNet
from ctrobust.operators import Projector
from ctrobust.reconstruct import FilteredBackProjection, LearnedReconstructor
from ctrobust.threat import L2Ball, ProjectedGradientAscent
from ctrobust.threat.budget import norms

A = Projector(ParallelBeam(16, 9, pixel_mm=5.0), "matrix")
FBP = FilteredBackProjection(A)


def images(count: int = 3) -> Tensor:
    return torch.rand(count, 1, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def network() -> LearnedReconstructor:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LearnedReconstructor(A, FBPConvNet(4, 2)).double()


def test_the_settings_are_those_published_for_ct() -> None:
    published = {"price": 20.0, "step": 0.005, "steps": 100, "start": 5e-3, "momentum": 0.9, "seed": 0}
    assert dataclasses.asdict(TinyPerturbation()) == published


@pytest.mark.parametrize("price", [20.0, 0.05])
def test_for_a_linear_f_it_is_the_power_of_a_matrix(price: float) -> None:
    """In the eigenvectors of (FA)ᵀFA each part of (r, v) goes through [[1 + ηh, γ], [ηh, γ]], h = σ² − λ."""
    x = images(2)
    tiny = TinyPerturbation(price=price, steps=7)(FBP, A(x), x)
    first = TinyPerturbation(price=price, steps=0, seed=0).start * _draws(x)
    units = torch.eye(256, dtype=torch.float64).reshape(256, 1, 16, 16)
    M = FBP(A(units)).flatten(1).T.numpy()
    squares, V = np.linalg.eigh(M.T @ M)
    for i in range(2):
        parts = []
        for h, start in zip(squares - price, V.T @ first[i].numpy().ravel(), strict=True):
            step = np.array([[1 + 0.005 * h, 0.9], [0.005 * h, 0.9]])
            parts.append((np.linalg.matrix_power(step, 7) @ [start, 0])[0])
        r = V @ parts
        np.testing.assert_allclose(tiny.r[i].numpy().ravel(), r, rtol=1e-9, atol=1e-15)
        value = 0.5 * np.sum((M @ r) ** 2) - price / 2 * np.sum(r**2)
        assert tiny.objective[-1, i].item() == pytest.approx(value, rel=1e-9)
    assert tiny.objective.shape == (8, 2)
    torch.testing.assert_close(tiny.delta, A(tiny.r))
    torch.testing.assert_close(tiny.relative, norms(tiny.delta) / norms(A(x)))


def _draws(x: Tensor) -> Tensor:
    """U[0, 1] as the start has it: what no step has moved yet."""
    start = TinyPerturbation(steps=0)
    # With no steps r is the start.
    r = start(FBP, A(x), x).r / start.start
    assert 0 <= r.min() < 0.05 < 0.95 < r.max() <= 1
    return r


def test_the_objective_rises_where_f_stretches_more_than_the_price() -> None:
    x, f = images(), network()
    tiny = TinyPerturbation(price=0.01, steps=30)(f, A(x), x)
    assert (tiny.objective.diff(dim=0) > 0).all()
    change = norms(tiny.perturbed - tiny.clean) ** 2 / 2 - 0.005 * norms(tiny.r) ** 2
    assert torch.allclose(change, tiny.objective[-1])


def test_f_is_in_eval_mode_meanwhile_and_as_before_after() -> None:
    x, f = images(), network().train()
    before = {name: value.clone() for name, value in f.state_dict().items()}
    tiny = TinyPerturbation(steps=2)(f, A(x), x)
    assert all(module.training for module in f.modules())
    assert all(torch.equal(value, before[name]) for name, value in f.state_dict().items())
    assert torch.equal(tiny.clean, f.eval()(A(x)))


def test_a_batch_is_its_samples() -> None:
    x, f = images(), network().eval()
    tiny = TinyPerturbation(price=0.1, steps=20)
    whole = tiny(f, A(x), x).r
    alone = torch.cat([tiny(f, A(x[i : i + 1]), x[i : i + 1]).r for i in range(3)])
    assert torch.allclose(whole, alone, rtol=1e-8, atol=1e-12)
    assert torch.equal(whole, tiny(f, A(x), x).r)
    assert not torch.allclose(whole, dataclasses.replace(tiny, seed=1)(f, A(x), x).r)


@pytest.mark.parametrize("f", [FBP, network().eval()], ids=["FBP", "network"])
@torch.no_grad()
def test_ours_finds_more_with_no_more(f: LearnedReconstructor | FilteredBackProjection) -> None:
    x = images()
    y = A(x)
    tiny = TinyPerturbation(price=0.1, steps=30)(f, y, x)
    attack = ProjectedGradientAscent(L2Ball(1.0), steps=20, restarts=1)
    beside = side_by_side(f, y, x, tiny, attack)
    assert (norms(beside.delta) <= norms(tiny.delta)).all()
    assert torch.allclose(norms(beside.delta), norms(tiny.delta), rtol=1e-6)
    for i, row in enumerate(beside.rows):
        assert row["change_measurement"] > 1.2 * row["change_image"]
        assert row["relative"] == pytest.approx(float(norms(tiny.delta)[i] / norms(y)[i]))
        assert row["error_image"] == pytest.approx(float((tiny.perturbed[i] - x[i]).square().sum()))
        assert row["error_measurement"] == pytest.approx(
            float((f(y + beside.delta)[i] - x[i]).square().sum())
        )


def test_what_has_no_operator_is_refused() -> None:
    x = images(1)
    with pytest.raises(ValueError, match="projector"):
        TinyPerturbation()(lambda y: A.fbp(y), A(x), x)

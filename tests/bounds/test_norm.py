"""The operator norm: between its bounds, at every step and whatever the spectrum."""

import pytest
import torch

from ctrobust.bounds import operator_norm
from ctrobust.bounds.krylov import Krylov
from ctrobust.bounds.norm import FAILURE, _above, _tridiagonal


def diagonal(values: torch.Tensor, **settings: object) -> object:
    like = torch.zeros(1, 1, 1, len(values), dtype=values.dtype)
    return operator_norm(lambda v: values.square() * v, like, **settings)  # type: ignore[arg-type]


SPECTRA = {
    "far top": torch.cat([torch.tensor([10.0]), torch.linspace(0, 1, 299)]).double(),
    "even": torch.linspace(0, 1, 300).double(),
    "crowded top": 1 - torch.linspace(0, 1, 300).double() ** 3 / 2,
    "tied": torch.cat([torch.ones(100), torch.full((200,), 0.3)]).double(),
    "one": torch.ones(300).double(),
    "lonely twin": torch.cat([torch.tensor([1.0, 1 - 1e-9]), torch.linspace(0, 0.9, 298)]).double(),
}


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("steps", [1, 5, 40])
def test_the_truth_is_between(name: str, steps: int) -> None:
    values = SPECTRA[name]
    for seed in range(2):
        norm = diagonal(values, steps=steps, tolerance=0, seed=seed)
        assert norm.lower <= values.max() * (1 + 1e-13)
        assert norm.upper >= values.max() * (1 - 1e-13)


@pytest.mark.parametrize(("name", "steps"), [("far top", 15), ("even", 150), ("tied", 2), ("one", 1)])
def test_it_closes(name: str, steps: int) -> None:
    norm = diagonal(SPECTRA[name], steps=steps, tolerance=0)
    torch.testing.assert_close(norm.lower, norm.upper, rtol=1e-4, atol=0)


def test_the_bound_is_as_wide_as_its_probability_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a failure allowed in three of ten starts, some fail, and no more than that."""
    values = torch.cat([torch.tensor([1.05]), torch.linspace(0, 1, 99)]).double()
    monkeypatch.setattr("ctrobust.bounds.norm.FAILURE", 0.3)
    failed = sum(float(diagonal(values, steps=6, tolerance=0, seed=seed).upper) < 1.05 for seed in range(150))
    assert 0 < failed <= 150 * 0.3
    assert FAILURE == 1e-9


def test_with_the_true_mass_the_bound_is_the_truth() -> None:
    """After n − 1 of n steps the measure is known: Σ pⱼ(λ₁)² = 1/c² exactly."""
    values = torch.tensor([3.0, 2.9, 2, 1.5, 1, 0.2], dtype=torch.float64)
    start = torch.tensor([1.0, 2, -1, 3, 1, 2], dtype=torch.float64)[None]
    space = Krylov(lambda v: values * v, start, 5)
    for _ in range(5):
        space.extend()
    ritz = float(torch.linalg.eigvalsh(torch.from_numpy(space.projected[0]))[-1])
    assert ritz < 2.999
    assert _above(*_tridiagonal(space, 0), ritz, 1 / 20) == pytest.approx(3, rel=1e-12)


def test_it_stops_where_it_is_told() -> None:
    norm = diagonal(SPECTRA["even"], tolerance=0.05)
    assert norm.steps < 150
    assert norm.upper <= 1.05 * norm.lower
    with pytest.raises(ValueError, match="steps 0"):
        diagonal(SPECTRA["even"], steps=0)


def test_samples_do_not_mix() -> None:
    values = torch.stack([SPECTRA["even"], 7 * SPECTRA["far top"], 0 * SPECTRA["one"]])[:, None, None]
    norm = operator_norm(lambda v: values.square() * v, torch.zeros_like(values), steps=60, tolerance=1e-8)
    assert norm.lower[1] == pytest.approx(70)
    assert norm.lower[2] == norm.upper[2] == 0
    assert norm.lower[0] <= 1 <= norm.upper[0] < 1.1

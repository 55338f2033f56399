"""What every adversary promises: a finite δ of the shape of y, inside its budget for every sample."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dct
from torch import Tensor

from ctrobust.core.errors import UserError
from ctrobust.core.geometry import ParallelBeam
from ctrobust.networks import FBPConvNet, SinogramPerturber
from ctrobust.operators import Projector
from ctrobust.operators.noise import noise_variance
from ctrobust.reconstruct import FilteredBackProjection, LearnedReconstructor
from ctrobust.threat import ADVERSARIES, Adversary, L2Ball, Linf, ProjectedGradientAscent, Whitened, WorstOf
from ctrobust.threat.ascent import squared_error
from ctrobust.threat.budget import Budget
from ctrobust.threat.confined import Confined, LowPass, detector_range, shadow

A = Projector(ParallelBeam(16, 6, pixel_mm=10.0))
FBP = FilteredBackProjection(A)
MIDDLE = detector_range(A.sinogram_shape[1])
SHADOW = shadow(A.geometry, slice(6, 10), slice(6, 10))
PHOTONS = 1e5
EPS = 0.02


def perturber() -> SinogramPerturber:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return SinogramPerturber(4, 2).eval()


NEEDS: dict[str, dict[str, Any]] = {
    "transfer": {"surrogate": FBP},
    "local": {"onto": MIDDLE},
    "local_image": {"A": A},
    "generator": {"G": perturber()},
}
FAULTS = (
    "angle_jitter",
    "centre_shift",
    "pixel_size",
    "gain_drift",
    "intensity_drift",
    "ring",
    "dead_channels",
)
BOUNDED = [name for name in ADVERSARIES if name not in FAULTS] + ["worst of two"]
CLIMBING = (
    "momentum",
    "plain",
    "halving",
    "adam",
    "low_frequency",
    "local",
    "local_image",
    "image",
    "universal",
)

BUDGETS: dict[str, Budget] = {
    "L2": L2Ball(EPS),
    "L2, mm": L2Ball(20.0, relative=False),
    "Linf": Linf(EPS),
    "Linf, mm": Linf(5.0, relative=False),
    "whitened": Whitened(5.0, PHOTONS),
    "L2 of low frequencies": Confined(L2Ball(EPS), LowPass(0.3)),
    "Linf of low frequencies": Confined(Linf(EPS), LowPass(0.3)),
    "Linf of a detector range": Confined(Linf(EPS), MIDDLE),
}


def length(name: str, delta: Tensor, y: Tensor) -> Tensor:
    """(B,) what a budget bounds by eps, written out once more."""
    delta, y = delta.double().flatten(1), y.double().flatten(1)
    if name == "whitened":
        return (delta.square() / noise_variance(y, PHOTONS)).sum(1).sqrt()
    order = float("inf") if name.startswith("Linf") else 2
    lengths = torch.linalg.vector_norm(delta, order, dim=1)
    against = torch.linalg.vector_norm(y, order, dim=1)
    return lengths if "mm" in name else torch.where(lengths > 0, lengths / against, 0)


def make(name: str, budget: Budget, steps: int = 5, restarts: int = 2, seed: int = 0) -> Adversary:
    attack = ProjectedGradientAscent(budget, steps=steps, restarts=restarts, seed=seed)
    if name == "worst of two":
        return WorstOf({each: make(each, budget, steps, restarts, seed) for each in ("sphere", "plain")})
    return ADVERSARIES[name](attack, **NEEDS.get(name, {}))


def batch(double: bool = False) -> tuple[Tensor, Tensor]:
    x = torch.rand(5, 1, 16, 16, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    x[0] *= 1e-3
    x[1] *= 1e3
    x = x if double else x.float()
    return A(x), x


def network() -> LearnedReconstructor:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LearnedReconstructor(A, FBPConvNet(4, 3))


def confined(kind: str, delta: Tensor) -> Tensor:
    """(B,) the share of δ's length outside the subspace that a kind of budget is confined to."""
    if kind.endswith("range"):
        outside = torch.where(MIDDLE.mask, 0, delta)
    elif kind.endswith("frequencies"):
        spectrum = torch.from_numpy(dct(delta.double().numpy()))
        outside = spectrum * (torch.arange(delta.shape[-1]) > 0.3 * delta.shape[-1])
    else:
        outside = torch.zeros_like(delta)
    return outside.flatten(1).norm(dim=1) / delta.flatten(1).norm(dim=1).clamp_min(1e-30)


def fits(name: str, kind: str) -> bool:
    """Those that confine δ to a subspace of their own take no budget that is confined to another."""
    return name not in ("low_frequency", "local", "local_image", "image") or isinstance(
        BUDGETS[kind], L2Ball | Linf | Whitened
    )


PAIRS = [(name, kind) for name in BOUNDED for kind in BUDGETS if fits(name, kind)]

every_adversary = pytest.mark.parametrize("name", [*BOUNDED, *FAULTS])
bounded = pytest.mark.parametrize("name", BOUNDED)


def test_the_faults_are_those_without_a_budget_of_delta() -> None:
    assert set(FAULTS) < set(ADVERSARIES)
    assert all(not hasattr(make(name, L2Ball(EPS)), "budget") for name in FAULTS)


@bounded
@settings(max_examples=8, deadline=None)
@given(data=st.data(), eps=st.floats(1e-4, 3), power=st.integers(-3, 3), double=st.booleans())
def test_every_sample_is_in_its_budget(
    name: str, data: st.DataObject, eps: float, power: int, double: bool
) -> None:
    kind = data.draw(st.sampled_from([kind for kind in BUDGETS if fits(name, kind)]))
    double &= name != "generator"
    y, x = batch(double)
    y, x = 10.0**power * y, 10.0**power * x
    budget = BUDGETS[kind].with_eps(eps)
    delta = make(name, budget, steps=2)(FBP, y, x)
    assert delta.shape == y.shape
    assert delta.dtype == y.dtype
    assert torch.isfinite(delta).all()
    assert not delta.requires_grad
    assert (length(kind, delta, y) <= eps).all()
    assert (confined(kind, delta) < (1e-12 if double else 1e-5)).all()
    torch.testing.assert_close(budget.size(delta, y), length(kind, delta, y))


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_uses_what_it_is_given_and_no_more(name: str, kind: str) -> None:
    y, x = batch()
    delta = make(name, BUDGETS[kind], steps=2)(FBP, y, x)
    share = length(kind, delta, y) / BUDGETS[kind].eps
    assert (share <= 1).all()
    assert (confined(kind, delta) < 1e-5).all()
    assert (share > (0.2 if name == "ball" else 0.5)).all()


@every_adversary
def test_a_slice_of_air_spoils_nobody(name: str) -> None:
    y, x = batch()
    y[2], x[2] = 0, 0
    for kind in ("L2", "Linf"):
        delta = make(name, BUDGETS[kind], steps=3)(FBP, y, x)
        assert torch.isfinite(delta).all()
        if name not in FAULTS:
            assert (delta[2] == 0).all()
            assert (length(kind, delta, y) <= EPS).all()
            assert (length(kind, delta, y)[[0, 1, 3, 4]] > 0).all()


@pytest.mark.parametrize("kind", ["L2", "whitened"])
@every_adversary
def test_what_a_sample_meets_does_not_depend_on_its_batch(name: str, kind: str) -> None:
    if name == "universal":
        return
    double = name != "generator"
    y, x = batch(double)
    adversary = make(name, BUDGETS[kind])
    together, alone = adversary(FBP, y, x)[3:], adversary(FBP, y[3:], x[3:])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-7 if double else 1e-3)


@every_adversary
def test_leaves_everything_as_it_was(name: str) -> None:
    """Neither weights, nor batch-norm statistics, nor gradients, nor the mode of f, nor y, x, or anyone's dice."""
    f, (y, x) = network().train(), batch()
    before = {key: value.clone() for key, value in f.state_dict().items()}
    given, dice = (y.clone(), x.clone()), torch.get_rng_state()
    make(name, L2Ball(EPS), steps=2)(f, y, x)
    assert all(torch.equal(before[key], value) for key, value in f.state_dict().items())
    assert all(module.training for module in f.modules())
    assert all(weight.grad is None and weight.requires_grad for weight in f.parameters())
    assert torch.equal(y, given[0])
    assert torch.equal(x, given[1])
    assert torch.equal(torch.get_rng_state(), dice)


@pytest.mark.parametrize(
    "name", [*CLIMBING, "transfer", "angle_jitter", "intensity_drift", "ring", "dead_channels"]
)
def test_a_gradient_that_is_not_exact_is_refused(name: str) -> None:
    def halved(y: Tensor) -> Tensor:
        return FBP(torch.cat([y[..., :3, :], y[..., 3:, :].detach()], -2))

    y, x = batch()
    needs: dict[str, Any] = {"A": A} if name in ("image", "angle_jitter") else NEEDS.get(name, {})
    needs = {"surrogate": halved} if name == "transfer" else needs
    attack = ProjectedGradientAscent(L2Ball(EPS), steps=2, restarts=1)
    with pytest.raises(UserError, match="allow_unmatched"):
        ADVERSARIES[name](attack, **needs)(halved, y[2:], x[2:])
    ADVERSARIES[name](replace(attack, allow_unmatched=True), **needs)(halved, y[2:], x[2:])


@every_adversary
def test_is_the_same_again(name: str) -> None:
    y, x = batch()
    found = []
    with torch.random.fork_rng():
        for seed in (5, 6):
            torch.manual_seed(seed)
            found.append(make(name, L2Ball(EPS), steps=3)(FBP, y, x))
    assert torch.equal(*found)


@pytest.mark.parametrize("name", ["momentum", "sphere", "ball", "universal", "image", "worst of two"])
def test_another_seed_draws_anew(name: str) -> None:
    y, x = batch()
    one, other = (make(name, L2Ball(EPS), steps=1, seed=seed)(FBP, y, x) for seed in (0, 1))
    assert not torch.allclose(one, other)


@bounded
def test_another_eps_is_another_budget(name: str) -> None:
    y, x = batch()
    adversary = make(name, L2Ball(EPS), steps=2)
    assert torch.equal(adversary.with_eps(0.05)(FBP, y, x), make(name, L2Ball(0.05), steps=2)(FBP, y, x))
    assert torch.equal(adversary.with_eps(0.0)(FBP, y, x), torch.zeros_like(y))


@pytest.mark.parametrize(("name", "kind"), [pair for pair in PAIRS if pair[0] in CLIMBING])
def test_finds_more_than_chance(name: str, kind: str) -> None:
    f = network().eval() if kind == "L2" else FBP
    y, x = batch()
    y, x = y[2:], x[2:]
    narrowed = {"low_frequency": LowPass(0.25), "local": MIDDLE, "local_image": SHADOW}
    budget = BUDGETS[kind]
    drawn = make("sphere", Confined(budget, narrowed[name]) if name in narrowed else budget)
    found, chance = (squared_error(f, y + adversary(f, y, x), x) for adversary in (make(name, budget), drawn))
    if name == "universal":
        found, chance = found.sum(), chance.sum()
    assert (found >= chance).all()


@pytest.mark.parametrize("name", [name for name in CLIMBING if name != "universal"])
def test_a_start_is_used(name: str) -> None:
    """One step from a good start keeps what the start holds; from a random one it has less."""
    y, x = batch(double=True)
    good = make(name, L2Ball(EPS), steps=30)(FBP, y, x)
    single = make(name, L2Ball(EPS), steps=1, restarts=1)
    kept, other = (squared_error(FBP, y + single(FBP, y, x, start), x) for start in (good, None))
    assert (kept >= squared_error(FBP, y + good, x) * (1 - 1e-3)).all()
    assert (other < kept).all()

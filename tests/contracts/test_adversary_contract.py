"""What every adversary promises: a finite δ of the shape of y, inside its ball for every sample."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning_fabric import Fabric

from ctrobust.core.geometry import ParallelBeam
from ctrobust.networks import FBPConvNet, SinogramPerturber
from ctrobust.operators import Projector
from ctrobust.reconstruct import LearnedReconstructor
from ctrobust.threat import L2Ball, ProjectedGradientAscent
from ctrobust.train.minmax import MinMax

EPS = 0.02
A = Projector(ParallelBeam(16, 6, pixel_mm=10.0))


def reconstructor() -> LearnedReconstructor:
    torch.manual_seed(0)
    return LearnedReconstructor(A, FBPConvNet(4, 3))


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.rand(5, 1, 16, 16, generator=torch.Generator().manual_seed(3))
    x[0] *= 1e-3
    x[1] *= 1e3
    return A(x), x


def ascent(f: LearnedReconstructor, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return ProjectedGradientAscent(L2Ball(EPS), steps=7, restarts=2)(f, y, x)


def ball_random(f: LearnedReconstructor, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return L2Ball(EPS).random(y, 0)


def generator(sees: str) -> Callable[..., torch.Tensor]:
    def propose(f: LearnedReconstructor, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        adversary = MinMax(
            SinogramPerturber(4, 2, scale=1.0, hints=int(sees == "gradient")),
            Fabric(accelerator="cpu", devices=1),
            eps=EPS,
            ball="project",
            sees=sees,
            weight=1.0,
            lambda_2=1.0,
            steps_per_update=2,
            lr=1e-2,
            seed=0,
        )
        delta, figures = adversary(f, y, x)
        assert 0.5 * EPS < figures["delta_rel"] <= EPS
        return delta

    return propose


ADVERSARIES = {
    "ascent": ascent,
    "random": ball_random,
    "minmax": generator("sinogram"),
    "minmax, shown the gradient": generator("gradient"),
}


@pytest.fixture(params=list(ADVERSARIES.values()), ids=list(ADVERSARIES))
def adversary(request: pytest.FixtureRequest) -> Callable[..., torch.Tensor]:
    return request.param


def test_stays_in_its_ball_sample_by_sample(adversary: Callable[..., torch.Tensor]) -> None:
    y, x = batch()
    delta = adversary(reconstructor(), y, x)
    assert delta.shape == y.shape
    assert torch.isfinite(delta).all()
    assert not delta.requires_grad
    sizes = delta.double().flatten(1).norm(dim=1) / y.double().flatten(1).norm(dim=1)
    assert (sizes <= EPS).all()
    assert (sizes > 0.5 * EPS).all()


def test_a_slice_of_air_spoils_nobody(adversary: Callable[..., torch.Tensor]) -> None:
    y, x = batch()
    y[2], x[2] = 0, 0
    delta = adversary(reconstructor(), y, x)
    assert torch.isfinite(delta).all()
    assert (delta[2] == 0).all()
    assert (L2Ball(EPS).size(delta, y) <= EPS).all()


def test_what_a_sample_meets_does_not_depend_on_its_batch(adversary: Callable[..., torch.Tensor]) -> None:
    if adversary not in (ascent, ball_random):
        return
    y, x = batch()
    f = reconstructor().eval()
    torch.testing.assert_close(adversary(f, y, x)[3:], adversary(f, y[3:], x[3:]), rtol=1e-3, atol=1e-3)


def test_leaves_f_as_it_was(adversary: Callable[..., torch.Tensor]) -> None:
    """Neither weights, nor batch-norm statistics, nor gradients, nor the mode of f may move."""
    f = reconstructor().train()
    before = {name: value.clone() for name, value in f.state_dict().items()}
    adversary(f, *batch())
    assert all(torch.equal(before[name], value) for name, value in f.state_dict().items())
    assert all(module.training for module in f.modules())
    assert all(p.grad is None and p.requires_grad for p in f.parameters())


def test_is_the_same_again(adversary: Callable[..., torch.Tensor]) -> None:
    y, x = batch()
    with torch.random.fork_rng():
        torch.manual_seed(5)
        once = adversary(reconstructor(), y, x)
        torch.manual_seed(5)
        assert torch.equal(once, adversary(reconstructor(), y, x))


@given(
    eps=st.just(0.0) | st.floats(1e-9, 2),
    scale=st.floats(1e-6, 1e6),
    relative=st.booleans(),
    double=st.booleans(),
)
def test_projection_lands_inside_and_leaves_the_inside_alone(
    eps: float, scale: float, relative: bool, double: bool
) -> None:
    dtype = torch.float64 if double else torch.float32
    ball, seeded = L2Ball(eps, relative=relative), torch.Generator().manual_seed(1)
    y = torch.randn(4, 1, 5, 6, generator=seeded).to(dtype)
    delta = scale * torch.randn(4, 1, 5, 6, generator=seeded).to(dtype)
    once = ball.project(delta, y)
    assert (ball.size(once, y) <= eps).all()
    inside = ball.size(delta, y) <= eps * (1 - 1e-5)
    assert torch.equal(once[inside], delta[inside])
    torch.testing.assert_close(ball.project(once, y), once)


@pytest.mark.parametrize("eps", [-0.1, float("nan"), float("inf")])
def test_a_ball_has_a_radius(eps: float) -> None:
    with pytest.raises(ValueError, match="eps"):
        L2Ball(eps)

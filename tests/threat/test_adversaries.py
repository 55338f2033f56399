"""Chance, transfer, and the worst of several."""

from typing import Any

import pytest
import torch
from torch import Tensor

from ctrobust.core.geometry import ParallelBeam
from ctrobust.networks import FBPConvNet
from ctrobust.operators import Projector
from ctrobust.reconstruct import FilteredBackProjection, LearnedReconstructor
from ctrobust.threat import ADVERSARIES, L2Ball, Linf, ProjectedGradientAscent, Whitened, WorstOf
from ctrobust.threat.ascent import squared_error
from ctrobust.threat.chance import Chance
from ctrobust.threat.confined import Confined, LowPass, shadow
from ctrobust.threat.transfer import Transfer

A = Projector(ParallelBeam(16, 6, pixel_mm=10.0), "matrix")
FBP = FilteredBackProjection(A)


def pair(count: int = 4) -> tuple[Tensor, Tensor]:
    x = torch.rand(count, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    return A(x), x


class Fixed:
    """An adversary that knows one δ."""

    def __init__(self, delta: Tensor) -> None:
        self.delta = delta

    def __call__(self, f: object, y: Tensor, x: Tensor, start: Tensor | None = None) -> Tensor:
        return self.delta

    def with_eps(self, eps: float) -> "Fixed":
        return Fixed(self.delta * eps)


def test_the_worst_of_several_says_who_won_each_sample() -> None:
    y, x = torch.zeros(3, 1, 2, 2), torch.zeros(3, 1, 2, 2)
    a, b = torch.zeros_like(y), torch.zeros_like(y)
    a[0], a[1], b[1], b[2] = 2.0, 1.0, 1.0, 3.0
    several = WorstOf({"a": Fixed(a), "b": Fixed(b)})
    found = several.compare(lambda y: y, y, x)
    assert several.winners(found) == ["a", "a", "b"]
    assert found.errors.tolist() == [16.0, 4.0, 36.0]
    assert torch.equal(found.delta, torch.stack([a[0], a[1], b[2]]))
    assert torch.equal(several.with_eps(0.5)(lambda y: y, y, x), found.delta / 2)


def test_an_image_that_is_not_a_number_wins() -> None:
    y, x = torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    several = WorstOf({"large": Fixed(5 * y), "broken": Fixed(-2 * y)})
    assert several.winners(several.compare(torch.sqrt, y, x)) == ["broken"]


def test_the_worst_of_none_is_refused() -> None:
    with pytest.raises(ValueError, match="at least"):
        WorstOf({})


def test_chance_is_the_worst_of_its_draws() -> None:
    y, x = pair()
    ball = L2Ball(0.02)
    few, many = (squared_error(FBP, y + Chance(ball, draws=draws)(FBP, y, x), x) for draws in (2, 16))
    assert (many >= few).all()
    assert (many > few).any()
    with pytest.raises(ValueError, match="draws"):
        Chance(ball, draws=0)


@pytest.mark.parametrize(
    "budget", [L2Ball(0.02), Linf(0.02), Whitened(5.0, 1e5), Confined(L2Ball(1.0), LowPass(0.3))]
)
def test_inside_every_size_is_as_likely(budget: L2Ball) -> None:
    x = pair(count=1)[1].repeat(400, 1, 1, 1) + 1e-3 * torch.arange(400)[:, None, None, None]
    shares = budget.size(Chance(budget, draws=1, inside=True)(FBP, A(x), x), A(x)) / budget.eps
    assert (shares <= 1).all()
    for level in (0.25, 0.5, 0.75):
        assert abs(float((shares < level).double().mean()) - level) < 0.1  # four standard deviations


def test_transfer_asks_the_surrogate_alone() -> None:
    y, x = pair()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = LearnedReconstructor(A, FBPConvNet(4, 3)).eval()
    attack = ProjectedGradientAscent(L2Ball(0.02), steps=20)

    def never(y: Tensor) -> Tensor:
        raise AssertionError("f was asked")

    delta = Transfer(attack, network)(never, y, x)
    assert torch.equal(delta, attack(network, y, x))
    own, foreign, chance = (
        squared_error(FBP, y + d, x) for d in (attack(FBP, y, x), delta, L2Ball(0.02).random(y, 0))
    )
    assert (foreign <= own * (1 + 1e-5)).all()
    assert (foreign > chance).all()


def test_the_table_passes_on_the_ascent_s_settings() -> None:
    attack = ProjectedGradientAscent(L2Ball(0.02), steps=3, restarts=2, seed=9)
    assert ADVERSARIES["momentum"](attack) == attack
    assert ADVERSARIES["sphere"](attack) == Chance(L2Ball(0.02), seed=9)
    assert ADVERSARIES["low_frequency"](attack, cutoff=0.5) == ProjectedGradientAscent(
        Confined(L2Ball(0.02), LowPass(0.5)), steps=3, restarts=2, seed=9
    )
    assert ADVERSARIES["ring"](attack, most_share=0.05).search.seed == 9
    box = {"rows": slice(1, 4), "columns": slice(2, 9)}
    assert confined_to(ADVERSARIES["local_image"](attack, A=A, **box)).equal(shadow(A.geometry, **box).mask)
    assert confined_to(ADVERSARIES["local_image"](attack, A=A)).equal(
        shadow(A.geometry, slice(6, 10), slice(6, 10)).mask
    )


def confined_to(adversary: Any) -> Tensor:
    mask: Tensor = adversary.budget.onto.mask
    return mask

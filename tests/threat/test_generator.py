"""The trained G of a run: what it proposes, at full length, with the weights of the checkpoint."""

import pytest
import torch
from torch import Tensor

from ctrobust.core.errors import UserError
from ctrobust.core.geometry import ParallelBeam
from ctrobust.core.seeds import derive_seed
from ctrobust.networks import SinogramPerturber
from ctrobust.networks.perturber import PerturberPerGroup
from ctrobust.operators import Projector
from ctrobust.reconstruct import FilteredBackProjection
from ctrobust.threat import L2Ball, WorstOf
from ctrobust.threat.ascent import error_and_gradient, squared_error
from ctrobust.threat.generator import Generator, trained

A = Projector(ParallelBeam(16, 6, pixel_mm=10.0), "matrix")
FBP = FilteredBackProjection(A)
BALL = L2Ball(0.02)


def perturber(seed: int, hints: int = 0) -> SinogramPerturber:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return SinogramPerturber(4, 2, hints=hints)


def pair() -> tuple[Tensor, Tensor]:
    x = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    return A(x), x


def test_it_is_g_of_y_at_full_length() -> None:
    (y, x), G = pair(), perturber(0)
    with torch.no_grad():
        assert torch.equal(Generator(BALL, G)(FBP, y, x), BALL.rescale(G(y), y))
    assert G.training
    assert all(weight.grad is None for weight in G.parameters())


def test_a_g_with_statistics_keeps_them() -> None:
    (y, x), G = pair(), torch.nn.BatchNorm2d(1)
    Generator(BALL, G)(FBP, y, x)
    assert G.training
    assert not G.running_mean.any()


def test_shown_the_gradient_it_corrects_it() -> None:
    """As `train.methods.minmax` has it: δ = ĝ + G(y, ĝ), from a tenth of a random perturbation, then from δ."""
    (y, x), G = pair(), perturber(0, hints=1)

    def climb(at: Tensor) -> Tensor:
        return BALL.rescale(error_and_gradient(FBP, y, x, at)[1], y)

    with torch.no_grad():
        seen = climb(0.1 * BALL.random(y, derive_seed(5, "hint")))
        once = BALL.rescale(seen + G(y, seen), y)
        assert torch.equal(Generator(BALL, G, "gradient", seed=5)(FBP, y, x), once)
        again = BALL.rescale(once + climb(once), y)
        twice = BALL.rescale(again + G(y, again), y)
        assert torch.equal(Generator(BALL, G, "gradient", 2, seed=5)(FBP, y, x), twice)


def test_it_is_loaded_from_what_a_checkpoint_holds() -> None:
    (y, x), G = pair(), perturber(0)
    adversary = trained(perturber(1), {"perturber": G.state_dict(), "lambda_2": 1.0}, BALL)
    assert torch.equal(adversary(FBP, y, x), Generator(BALL, G)(FBP, y, x))


def test_of_a_g_a_group_it_is_the_worst() -> None:
    y, x = pair()
    groups = PerturberPerGroup([perturber(1), perturber(2)])
    adversary = trained(
        PerturberPerGroup([perturber(3), perturber(4)]), {"perturber": groups.state_dict()}, BALL
    )
    assert isinstance(adversary, WorstOf)
    each = [squared_error(FBP, y + Generator(BALL, part)(FBP, y, x), x) for part in groups.parts]
    assert torch.equal(squared_error(FBP, y + adversary(FBP, y, x), x), torch.maximum(*each))


def test_a_run_without_a_g_or_with_another_is_refused() -> None:
    with pytest.raises(UserError, match="without a G"):
        trained(perturber(0), {"shared": torch.zeros(1)}, BALL)
    with pytest.raises(UserError, match="other layers"):
        trained(SinogramPerturber(8, 2), {"perturber": perturber(0).state_dict()}, BALL)

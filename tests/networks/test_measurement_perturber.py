"""G for measurements without an order: it speaks for each sample alone, at any scale, and can say anything."""

import pytest
import torch

from ctrobust.networks import FBPConvNet, MeasurementPerturber
from ctrobust.recipes import load_recipe
from ctrobust.reconstruct.load import build_network, build_perturber


def test_a_sample_alone_and_any_scale() -> None:
    torch.manual_seed(0)
    G = MeasurementPerturber(40, 64, 3, scale=0.02)
    y = torch.randn(3, 2, 1, 20)
    assert G(y).shape == y.shape
    torch.testing.assert_close(G(7 * y), 7 * G(y), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(G(y)[1:2], G(y[1:2]), rtol=1e-4, atol=1e-6)
    assert 0.001 < G(y).norm() / y.norm() < 0.1


def test_hints_are_seen() -> None:
    torch.manual_seed(0)
    G = MeasurementPerturber(20, 16, 2, hints=1)
    y, hint = torch.randn(2, 1, 1, 20), torch.randn(2, 1, 1, 20)
    assert not torch.allclose(G(y, hint), G(y, -hint))


def test_no_direction_is_out_of_reach() -> None:
    """Narrower than y it still says all: of a hundred answers no direction of the 20 is missing."""
    torch.manual_seed(0)
    answers = MeasurementPerturber(20, 4, 2)(torch.randn(100, 1, 1, 20)).detach().flatten(1)
    singular = torch.linalg.svdvals(answers.double())
    assert singular[-1] > 0.01 * singular[0]


def test_order_is_nothing_to_it() -> None:
    """Measurements may be told in any order: with the layers' rows in that order the answer is the same."""
    torch.manual_seed(0)
    G, other = MeasurementPerturber(20, 16, 2), MeasurementPerturber(20, 16, 2)
    order, y = torch.randperm(20), torch.randn(2, 1, 1, 20)
    state = G.state_dict()
    state["direct.weight"] = state["direct.weight"][order][:, order]
    state["enter.weight"] = state["enter.weight"][:, order]
    state |= {name: state[name][order] for name in ("last.weight", "last.bias")}
    other.load_state_dict(state)
    torch.testing.assert_close(other(y[..., order]), G(y)[..., order])


@pytest.mark.parametrize(("recipe", "numbers"), [("mnist", 200), ("celeba", 3000)])
def test_a_recipe_says_how_many_numbers(recipe: str, numbers: int) -> None:
    G = build_perturber(load_recipe(recipe, ["threat.groups=2", "threat.sees=gradient"]))
    assert [part.enter.in_features for part in G.parts] == [2 * numbers] * 2


def test_f_of_colours_adds_its_input() -> None:
    f = FBPConvNet(4, 3, channels=3).eval()
    torch.nn.init.zeros_(f.unet.last.weight)
    torch.nn.init.zeros_(f.unet.last.bias)
    x = torch.rand(2, 3, 28, 28)
    torch.testing.assert_close(f(x), x)
    with pytest.raises(ValueError, match=r"give \(batch, 3, H, W\)"):
        f(x[:, :1])
    assert build_network(load_recipe("celeba")).channels == 3

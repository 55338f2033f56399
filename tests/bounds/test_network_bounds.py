"""Networks: product ≥ local norm ≥ what is seen; each part of the product against its exact norm."""

import math

import pytest
import torch
from torch import Tensor, nn

from ctrobust.bounds import (
    bracket,
    local_lipschitz_estimate,
    network_lipschitz,
    predicted_error,
    product_bound,
    worst_case_of_linear,
)
from ctrobust.bounds.product import convolution_norm, trivial_error
from ctrobust.core.errors import UserError
from ctrobust.core.geometry import ParallelBeam
from ctrobust.networks import FBPConvNet
from ctrobust.operators import Projector
from ctrobust.reconstruct import FilteredBackProjection, LearnedReconstructor
from ctrobust.threat import L2Ball, Linf, ProjectedGradientAscent

A = Projector(ParallelBeam(13, 7, pixel_mm=2.0))


def learned(norm: str = "batch", weights: float = 1.0) -> LearnedReconstructor:
    """Weights times a factor, and batch statistics that are not 0 and 1."""
    torch.manual_seed(0)
    network = FBPConvNet(2, 2, norm).double()
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layer.weight *= weights
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_var.uniform_(0.2, 2)
                layer.running_mean.normal_()
                layer.weight.uniform_(0.5, 2)
    return LearnedReconstructor(A, network).eval()


def scanned() -> tuple[Tensor, Tensor]:
    x = torch.rand(2, 1, 13, 13, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return A(x), x


def matrix_norm(layer: object, shape: tuple[int, ...]) -> float:
    zero = torch.zeros(1, *shape, dtype=torch.float64)
    units = torch.eye(zero.numel(), dtype=torch.float64).reshape(-1, *shape)
    with torch.no_grad():
        return float(torch.linalg.matrix_norm((layer(units) - layer(zero)).flatten(1), 2))  # type: ignore[operator]


@pytest.mark.parametrize("name", ["3×3", "1×1", "5×5", "up"])
def test_a_convolution_is_below_its_bound_at_every_size_and_near_it_at_large_ones(name: str) -> None:
    torch.manual_seed(1)
    layer = {
        "3×3": nn.Conv2d(3, 4, 3, padding=1),
        "1×1": nn.Conv2d(4, 1, 1),
        "5×5": nn.Conv2d(1, 2, 5, padding=2),
        "up": nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1, output_padding=1),
    }[name].double()
    scale = torch.linspace(-0.5, 2, layer.out_channels, dtype=torch.float64)
    bound = convolution_norm(layer, scale)
    found = [
        matrix_norm(lambda x: layer(x) * scale[:, None, None], (layer.in_channels, n, n)) for n in (3, 12)
    ]
    assert max(found) <= bound <= 1.4 * found[-1]


def test_the_worst_convolution_between_two_frequencies() -> None:
    """A symbol |1 + e^{i(ω − ω₀)}|/2 that peaks at 1 half-way between grid points: only the cosine saves the bound."""
    layer = nn.Conv2d(2, 2, (3, 3), padding=1, bias=False).double()
    turn = math.pi / 16
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[:, :, 1, 0] = torch.eye(2, dtype=torch.float64) / 2
        layer.weight[:, :, 1, 1] = (
            torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]) / 2
        )
    assert convolution_norm(layer, torch.ones(2)) >= 1


def test_local_norm_is_the_jacobians_and_above_what_is_seen_nearby() -> None:
    f, (y, _) = learned(), scanned()
    local = local_lipschitz_estimate(f, y, tolerance=1e-6, steps=100)
    for sample in range(2):
        J = torch.autograd.functional.jacobian(f, y[sample : sample + 1])
        exact = torch.linalg.matrix_norm(J.reshape(13 * 13, -1), 2)
        torch.testing.assert_close(local.lower[sample], exact, rtol=1e-5, atol=0)
        assert local.upper[sample] >= exact * (1 - 1e-12)
    for seed in range(20):
        step = L2Ball(1e-7).random(y, seed)
        quotient = (f(y + step) - f(y)).flatten(1).norm(dim=1) / step.flatten(1).norm(dim=1)
        assert (quotient <= local.upper * (1 + 1e-5)).all()


def test_product_is_above_local_is_above_quotients() -> None:
    f, (y, x) = learned(weights=2.0), scanned()
    product = product_bound(f, y)
    assert product >= float(local_lipschitz_estimate(f, y).upper.max())
    delta = ProjectedGradientAscent(L2Ball(0.3), steps=20, restarts=1)(f, y, x)
    for step in (delta, y, *(L2Ball(0.5).random(y, seed) for seed in range(5))):
        quotient = (f(y + step) - f(y)).flatten(1).norm(dim=1) / step.flatten(1).norm(dim=1)
        assert (quotient <= product).all()


def test_a_network_that_only_adds() -> None:
    """Convolutions that copy; x with one pixel lit in each 2 × 2, which pooling and going up again leave as it is.

    The skip and the way below carry x each, and are added and, by a batch norm, tripled: f(x) = x + 3(x + x).
    """
    network = FBPConvNet(1, 2).eval()
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.dirac_(layer.weight)
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.zeros_(layer.bias)
        nn.init.zeros_(network.unet.up[0][0].weight)
        network.unet.up[0][0].weight[0, 0, 1, 1] = 1
        network.unet.merge[0][0].weight[:, :, 1, 1] = 1
        network.unet.merge[0][4].weight.fill_(3)
    x = torch.zeros(1, 1, 8, 8)
    x[..., ::2, ::2] = torch.rand(4, 4)
    torch.testing.assert_close(network(x), 7 * x, rtol=1e-3, atol=0)
    # Eight convolutions, and up to 4 % for what may lie between the frequencies looked at.
    assert 6.99 < network_lipschitz(network, (8, 8)) < 7 * 1.04**8


def test_skips_padding_and_residual_are_counted() -> None:
    """Weights, biases and image positive: no ReLU cuts, and the Jacobian is as large as that network's gets."""
    network = FBPConvNet(2, 2).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    x = torch.rand(1, 1, 7, 6, dtype=torch.float64)
    J = torch.autograd.functional.jacobian(network, x).reshape(42, 42)
    exact = float(torch.linalg.matrix_norm(J, 2))
    assert exact <= network_lipschitz(network, (7, 6)) < 30 * exact


def test_group_norm_has_no_product_bound() -> None:
    f, (y, x) = learned("group"), scanned()
    with pytest.raises(UserError, match="GroupNorm"):
        product_bound(f, y)
    rows = bracket(f, y, x, L2Ball(0.02), ProjectedGradientAscent(L2Ball(0.02), steps=3, restarts=1))
    assert [row.kind for row in rows] == ["attack", "estimate", "product"]
    assert rows[-1].errors is None
    assert "GroupNorm" in rows[-1].note


@pytest.mark.parametrize(("weights", "vacuous"), [(0.3, False), (4.0, True)])
def test_bracket_of_a_network(weights: float, vacuous: bool) -> None:
    f, (y, x) = learned(weights=weights), scanned()
    budget = L2Ball(0.02)
    lower, estimate, product = bracket(f, y, x, budget, ProjectedGradientAscent(budget, steps=10, restarts=1))
    assert lower.errors is not None
    assert estimate.errors is not None
    assert product.errors is not None
    assert (lower.errors <= product.errors).all()
    assert (estimate.errors <= product.errors).all()
    assert estimate.side == "none"
    assert product.vacuous == vacuous == bool((product.errors > trivial_error(x)).all())
    assert product.row()["kind"] == ("product (vacuous)" if vacuous else "product")
    assert "orders of magnitude" in product.note


def test_bracket_of_a_linear_f_is_closed() -> None:
    y, x = scanned()
    lower, found, upper = (row.errors for row in bracket(FilteredBackProjection(A), y, x, L2Ball(0.02)))
    assert lower is not None
    assert found is not None
    assert upper is not None
    assert (lower <= found * (1 + 1e-9)).all()
    assert (found <= upper).all()
    torch.testing.assert_close(lower, upper, rtol=2e-3, atol=0)


def test_another_budget_is_refused() -> None:
    y, x = scanned()
    for ask in (bracket, worst_case_of_linear):
        with pytest.raises(UserError, match="Linf"):
            ask(FilteredBackProjection(A), y, x, Linf(0.1))


def test_an_attack_beyond_the_budget_is_refused() -> None:
    y, x = scanned()
    attack = ProjectedGradientAscent(L2Ball(0.03), steps=1, restarts=1)
    with pytest.raises(ValueError, match=r"goes up to 0\.03"):
        bracket(FilteredBackProjection(A), y, x, L2Ball(0.02), attack)


def test_prediction() -> None:
    """(3 + 2·4)² = 121; ten by ten of air can be wrong by 4.071 at each pixel."""
    error = predicted_error(torch.tensor([9.0]), torch.tensor([2.0]), 4.0)
    assert error.tolist() == [121]
    assert trivial_error(torch.zeros(1, 1, 10, 10)).tolist() == pytest.approx([100 * 4.071**2])

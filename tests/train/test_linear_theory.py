"""The theory trains a linear B by a small loop of its own; by the project's: the same step, the same end."""

from types import SimpleNamespace

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor

from ctrobust.operators.sensing import dct_submatrix, prescribed_spectrum
from ctrobust.recipes.schema import Recipe, ThreatRecipe
from ctrobust.theory import training as theory
from ctrobust.threat import L2Ball
from ctrobust.train import loop

FABRIC = Fabric(accelerator="cpu", devices=1)


def by_the_loop(
    f: theory.LinearReconstructor,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    adversary: theory.Adversary,
    weight: float,
) -> float:
    """`theory.training.descend` with the objective and the gradient of `train.loop.descend`; returns the loss."""
    recipe = Recipe(threat=ThreatRecipe(eps=1.0, relative=False, weight=weight))
    asked = SimpleNamespace(wrapped=f, fabric=FABRIC, method=SimpleNamespace(recipe=recipe))
    y = f.projector(x)
    optimizer.zero_grad()
    figures = loop.descend(asked, y, x, adversary(f, y, x), share=1.0)
    optimizer.step()
    return figures["clean"] + weight * figures["adversarial"]


def test_one_step_is_the_same_step() -> None:
    """Loss and gradient of B, at a B and a δ of no special kind and λ = 0.7."""
    A, draw = dct_submatrix(12, (4, 4), 32, seed=0), torch.Generator().manual_seed(0)
    x = theory.balanced_gaussian(32, (4, 4), draw)
    start = torch.randn(16, 12, generator=draw, dtype=torch.float64)
    delta = L2Ball(1.0, relative=False).random(A(x), 0)
    found = []
    for descend in (theory.descend, by_the_loop):
        f = theory.LinearReconstructor(A)
        f.B.data.copy_(start)
        loss = descend(f, torch.optim.SGD(f.parameters(), lr=0.1), x, lambda f, y, x: delta, 0.7)
        found.append((loss, f.B.grad, f.B.detach()))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-12)
    for mine, theirs in zip(found[0][1:], found[1][1:], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


def test_b_trained_by_the_loop_ends_at_the_closed_form(monkeypatch: pytest.MonkeyPatch) -> None:
    A = prescribed_spectrum([1.0, 0.1], (1, 2), seed=0)
    monkeypatch.setattr(theory, "descend", by_the_loop)
    run = theory.train_shared(A, 1.0, 1.0, steps=250, batch_size=8, seed=0)
    assert run.distance[-1] < 0.01

"""Contrast recovery, and the δ that moves it most: exact where f is linear."""

import pytest
import torch
from torch import Tensor

from ctrobust.core.geometry import ParallelBeam
from ctrobust.instability import Nodule, contrast_recovery, footprint, hide, invent, place
from ctrobust.networks import FBPConvNet
from ctrobust.operators import Projector
from ctrobust.reconstruct import FilteredBackProjection, LearnedReconstructor
from ctrobust.threat import L2Ball, Linf, ProjectedGradientAscent
from ctrobust.threat.ascent import Reconstructor
from ctrobust.threat.budget import norms

A = Projector(ParallelBeam(32, 18, pixel_mm=4.0), "matrix")
FBP = FilteredBackProjection(A)
ATTACK = ProjectedGradientAscent(L2Ball(0.01), steps=10, restarts=1)


def network() -> LearnedReconstructor:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LearnedReconstructor(A, FBPConvNet(4, 2)).double().eval()


def case() -> tuple[Tensor, Tensor]:
    body = Nodule(100.0, 1000.0).draw((32, 32), (15.5, 15.5), 4.0)
    texture = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = body * (1 + 0.05 * texture)
    return x, place(Nodule(16.0, 60.0), x, 4.0, 0)[0]


def test_a_perfect_f_recovers_all_and_a_gain_its_gain() -> None:
    x, s = case()
    for f, coefficient in (
        (lambda image: image, 1.0),
        (lambda image: 0.7 * image + 3, 0.7),
        (lambda image: -image, -1.0),
    ):
        assert contrast_recovery(f(x + s) - f(x), s).tolist() == pytest.approx([coefficient] * 2)
    with pytest.raises(ValueError, match="empty"):
        contrast_recovery(s, 0 * s)


def test_of_a_nodule_it_is_the_ratio_of_means_over_its_outline() -> None:
    _, s = case()
    share = s / 0.06
    d = torch.rand(s.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    inside = (share * d).sum((1, 2, 3)) / share.sum((1, 2, 3))
    put_in = (share * s).sum((1, 2, 3)) / share.sum((1, 2, 3))
    assert torch.allclose(contrast_recovery(d, s), inside / put_in)


def test_with_a_full_scan_fbp_recovers_nearly_all_of_a_large_nodule() -> None:
    scan = Projector(ParallelBeam(64, 180, pixel_mm=2.0), "matrix")
    s = Nodule(40.0, 60.0).draw((64, 64), (31.5, 31.5), 2.0)[None, None]
    assert float(contrast_recovery(scan.fbp(scan(s)), s)) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize(("move", "sign"), [(hide, -1), (invent, 1)])
def test_for_a_linear_f_the_exact_move_is_found(move: object, sign: int) -> None:
    """⟨s, Fδ⟩ is at most ε‖y‖·‖Fᵀs‖; Fᵀs is the gradient of ⟨s, F y⟩."""
    assert move in (hide, invent)
    x, s = case()
    y = A(x).requires_grad_()
    (back,) = torch.autograd.grad((FBP(y) * s).sum(), y)
    exact = 0.01 * norms(A(x)) * norms(back) / norms(s) ** 2
    delta = (hide if move is hide else invent)(ATTACK, FBP, A(x), s)
    moved = contrast_recovery(FBP(delta), s)
    assert (norms(delta) <= 0.01 * norms(A(x))).all()
    assert torch.allclose(moved, sign * exact, rtol=1e-6)


@pytest.mark.parametrize("f", [FBP, network()], ids=["FBP", "network"])
@pytest.mark.parametrize("budget", [L2Ball(0.004), Linf(0.004)], ids=["L2", "Linf"])
def test_hiding_hides_inventing_invents_and_budgets_are_held(f: Reconstructor, budget: L2Ball | Linf) -> None:
    x, s = case()
    absent, present = A(x), A(x + s)
    attack = ProjectedGradientAscent(budget, steps=10, restarts=1)
    hidden, invented = hide(attack, f, present, s), invent(attack, f, absent, s)
    for delta, y in ((hidden, present), (invented, absent)):
        assert (budget.size(delta, y) <= budget.eps).all()
    seen = contrast_recovery(f(present) - f(absent), s)
    chance = contrast_recovery(f(present + budget.random(present, 0)) - f(absent), s) - seen
    drop = seen - contrast_recovery(f(present + hidden) - f(absent), s)
    rise = contrast_recovery(f(absent + invented) - f(absent), s)
    assert (drop > 3 * chance.abs()).all()
    assert (rise > 3 * chance.abs()).all()


def test_an_enormous_contrast_does_not_overflow() -> None:
    """In float32, with a nodule of a thousandth of a HU, the coefficient is in the hundreds of thousands."""
    x, s = case()
    x, s = x.float(), (s * 1e-5).float()
    delta = hide(ATTACK, FBP, A(x), s)
    assert (contrast_recovery(FBP(delta), s) < -1e4).all()
    assert torch.allclose(norms(delta), 0.01 * norms(A(x)), rtol=1e-5)


def test_a_batch_is_its_samples_and_a_seed_repeats() -> None:
    x, s = case()
    f = network()
    whole = invent(ATTACK, f, A(x), s)
    alone = torch.cat([invent(ATTACK, f, A(x[i : i + 1]), s[i : i + 1]) for i in range(2)])
    assert torch.allclose(whole, alone, rtol=1e-6, atol=1e-9)
    assert torch.equal(whole, invent(ATTACK, f, A(x), s))


def test_the_footprint_is_the_size_that_takes_the_nodule_out() -> None:
    x, s = case()
    y = A(x + s)
    assert torch.allclose(L2Ball(1.0).size(A(x) - y, y), footprint(A, s, y))
    # Nor does f see it then, whatever f is.
    delta = L2Ball(1.001 * float(footprint(A, s, y).max())).project(-A(s), y)
    f = network()
    assert torch.allclose(contrast_recovery(f(y + delta) - f(A(x)), s), torch.zeros(2).double(), atol=1e-9)

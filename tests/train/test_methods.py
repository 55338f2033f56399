"""What every training method promises, and what G does."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor
from variants import VARIANTS, equal

from ctrobust.experiment import Experiment
from ctrobust.recipes.schema import METHOD_NAMES
from ctrobust.reconstruct import LearnedReconstructor
from ctrobust.reconstruct.load import build_network
from ctrobust.threat import L2Ball
from ctrobust.threat.ascent import error_and_gradient, evaluating, squared_error
from ctrobust.train.methods import METHODS, Method, find_method
from ctrobust.train.methods.method import Adversarial

Open = Callable[..., Experiment]

BOUNDED = [name for name in VARIANTS if name not in ("erm", "weight_decay", "parseval", "G under the hinge")]


@dataclass
class Scene:
    """A method with an f in train mode, and a batch of four."""

    method: Method
    f: LearnedReconstructor
    y: Tensor
    x: Tensor
    samples: Tensor

    def perturb(self) -> Tensor | None:
        return self.method.perturb(self.f, self.y, self.x, self.samples)[0]

    def propose(self, places: list[int] | None = None) -> Tensor:
        chosen = slice(None) if places is None else places
        delta = self.method.propose(self.f, self.y[chosen], self.x[chosen], self.samples[chosen])
        assert delta is not None
        return delta


def scene(experiment: Experiment, fabric: Fabric, steps: int = 8) -> Scene:
    recipe = experiment.recipe
    torch.manual_seed(0)
    f = LearnedReconstructor(experiment.projector, build_network(recipe), recipe.scan.window)
    method = find_method(str(recipe.method))(recipe, fabric)
    method.prepare(f)
    y, x = experiment.pair(experiment.split.train[:4])
    method.begin(0, steps)
    return Scene(method, f.train(), y, x, torch.tensor([0, 1, 3, 5]))


def snapshot(f: LearnedReconstructor) -> list[Any]:
    """All that a method may not touch: weights, statistics, gradients, what is learned, the modes."""
    weights = [(w.detach().clone(), w.requires_grad, w.grad) for w in f.parameters()]
    return [weights, copy.deepcopy(f.state_dict()), [module.training for module in f.modules()]]


@pytest.fixture(params=VARIANTS)
def one(request: pytest.FixtureRequest, opened: Open, fabric: Fabric) -> Scene:
    return scene(opened(*VARIANTS[request.param]), fabric)


def test_the_schema_and_the_table_name_the_same_methods() -> None:
    assert tuple(METHODS) == METHOD_NAMES


def test_f_is_left_as_it_was(one: Scene) -> None:
    before = snapshot(one.f)
    one.perturb()
    one.method.propose(one.f, one.y, one.x, one.samples)
    assert equal(snapshot(one.f), before)


def test_to_propose_changes_nothing(one: Scene) -> None:
    one.perturb()
    before, drawn = copy.deepcopy(one.method.state_dict()), torch.get_rng_state()
    proposals = [one.method.propose(one.f, one.y, one.x, one.samples) for _ in range(2)]
    assert equal(one.method.state_dict(), before)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert equal(*proposals)
    assert proposals[0] is None or not proposals[0].requires_grad


@pytest.mark.parametrize("ball", ["relative", "absolute"])
@pytest.mark.parametrize("name", BOUNDED)
def test_every_perturbation_is_in_the_ball_that_grows(
    name: str, ball: str, opened: Open, fabric: Fabric
) -> None:
    eps, relative = (0.03, True) if ball == "relative" else (20.0, False)
    options = [*VARIANTS[name], f"threat.eps={eps}", f"threat.relative={relative}", "threat.ramp=0.5"]
    one = scene(opened(*options), fabric)
    assert isinstance(one.method, Adversarial)
    # Other lengths, so that a radius of the mean would be seen.
    one.y *= torch.tensor([1.0, 0.5, 2.0, 0.1])[:, None, None, None]
    for step, share in ((0, 0.25), (2, 0.75), (3, 1.0), (7, 1.0)):
        one.method.begin(step, 8)
        for delta in (one.perturb(), one.propose()):
            assert delta is not None
            size = L2Ball(eps, relative).size(delta.detach(), one.y)
            assert (size <= share * eps).all()
            assert (size > 0.99 * share * eps).all() or name == "pgd"
            assert (size > 0.2 * share * eps).all()


@pytest.mark.parametrize("name", ["jitter", "universal", "pgd", "G sees y", "G sees the gradient twice"])
def test_it_is_worth_its_name(name: str, opened: Open, fabric: Fabric) -> None:
    """What an adversary learns raises the error well above noise of the same size; noise itself does not."""
    learning = ["threat.eps=0.1", "threat.steps_per_update=30", "threat.lr=3e-3", "threat.ascent_steps=10"]
    one = scene(opened(*VARIANTS[name], *learning), fabric)
    delta = one.perturb()
    assert delta is not None
    with evaluating(one.f):
        clean, found, noise = (
            squared_error(one.f, one.y + d, one.x).mean()
            for d in (torch.zeros_like(delta), delta, L2Ball(0.1).random(one.y, 7))
        )
    ratio = (found - clean) / (noise - clean)
    assert ratio < 1.5 if name == "jitter" else ratio > 2


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("steps", [1, 3])
def test_f_meets_what_the_last_ascent_was_made_at(opened: Open, precision: Any, steps: int) -> None:
    """Mixed precision keeps copies of the weights: the δ handed on must come from those of one ascent before."""
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    one, other = (
        scene(opened("method=minmax", f"threat.steps_per_update={ascents}", "threat.lr=0.05"), fabric)
        for ascents in (steps, max(steps - 1, 1))
    )
    newborn = other.propose()
    if steps > 1:
        other.perturb()
    delta = one.perturb()
    assert delta is not None
    rounding = 0.03 if precision == "bf16-mixed" else 1e-5

    def apart(other: Tensor) -> float:
        return float((delta - other).norm() / delta.norm())

    assert apart(other.propose()) < rounding
    assert (steps == 1) == (apart(newborn) < rounding)
    assert apart(one.propose()) > 0.1, "G has gone on"


def test_further_is_a_step_of_ascent_on_the_gradient_that_G_climbed_by(opened: Open, fabric: Fabric) -> None:
    one, plain = (
        scene(opened("method=minmax", f"threat.further={further}", "threat.eps=0.1"), fabric)
        for further in (True, False)
    )
    start, delta = plain.perturb(), one.perturb()
    assert start is not None
    ball = L2Ball(0.1)
    with evaluating(one.f):
        climb = ball.rescale(error_and_gradient(one.f, one.y, one.x, start)[1], one.y)
        before, after = (squared_error(one.f, one.y + d, one.x) for d in (start, delta))
    torch.testing.assert_close(delta, ball.rescale(start + 3 * climb, one.y), rtol=1e-4, atol=1e-4)
    assert (after > before).all()
    assert equal(one.method.state_dict(), plain.method.state_dict()), "G learns the same"


def test_the_first_look_is_at_what_f_met_on_another_sample(opened: Open, fabric: Fabric) -> None:
    """The δ of the step before, in the order of its samples, a sample at the place of its number."""
    one = scene(opened(*VARIANTS["G from the last δ"], "threat.eps=0.1"), fabric)
    assert "last" not in one.method.state_dict()
    order = torch.tensor([2, 0, 3, 1])
    delta, _ = one.method.perturb(one.f, one.y, one.x, order)
    assert delta is not None
    last = one.method.state_dict()["last"]
    assert torch.equal(last, delta[order.argsort()])
    shown = []
    G = one.method._raw  # type: ignore[attr-defined]
    G.register_forward_pre_hook(lambda module, inputs: shown.append(inputs[1]))
    one.method.propose(one.f, one.y, one.x, torch.tensor([5, 6, 7, 8]))
    ball = L2Ball(0.1)
    at = ball.rescale(last[[1, 2, 3, 0]], one.y)
    with evaluating(one.f):
        climb = ball.rescale(error_and_gradient(one.f, one.y, one.x, at)[1], one.y)
    torch.testing.assert_close(shown[0], climb, rtol=1e-3, atol=1e-4)


def test_the_rate_of_G_falls_along_half_a_cosine(opened: Open, fabric: Fabric) -> None:
    one = scene(opened("method=minmax", "threat.lr=0.02"), fabric)
    rates = []
    for step in (0, 2, 4, 8):
        one.method.begin(step, 8)
        rates.append(one.method.state_dict()["optimizer"]["param_groups"][0]["lr"])
    assert rates == pytest.approx([0.02, 0.01 + 0.01 * 0.5**0.5, 0.01, 0.0])


def test_lambda_2_grows_while_G_is_outside_the_hinge(opened: Open, fabric: Fabric) -> None:
    hinge = ["method=minmax", "threat.ball=hinge", "threat.steps_per_update=5", "threat.lambda_2=1"]
    one = scene(opened(*hinge), fabric)
    one.method.begin(0, 8)
    for weight in one.method._raw.parameters():  # type: ignore[attr-defined]
        weight.data *= 3
    figures = one.method.perturb(one.f, one.y, one.x, one.samples)[1]
    assert figures["outside"] == 1
    assert figures["lambda_2"] == pytest.approx(1.1**5)


def test_a_fresh_G_forgets(opened: Open, fabric: Fabric) -> None:
    """Whatever it met before: the same step of the same f gives the same δ."""
    one = scene(opened(*VARIANTS["G anew"]), fabric)
    first = one.perturb()
    kept = one.y
    one.y = kept.flip(0)
    one.perturb()
    one.y = kept
    assert equal(one.perturb(), first)
    warm = scene(opened("method=minmax"), fabric)
    assert not equal(warm.perturb(), warm.perturb())


@pytest.mark.parametrize("sees", ["sinogram", "gradient"])
def test_groups_have_a_G_each_and_do_not_meet(sees: str, opened: Open, fabric: Fabric) -> None:
    one = scene(opened("method=minmax", "threat.groups=2", f"threat.sees={sees}"), fabric)
    one.y, one.x = one.y[:1].expand(4, -1, -1, -1), one.x[:1].expand(4, -1, -1, -1)
    one.samples = torch.tensor([0, 1, 2, 7])
    delta = one.propose()
    torch.testing.assert_close(delta[0], delta[2])
    torch.testing.assert_close(delta[1], delta[3])
    assert (delta[0] - delta[1]).norm() > 0.1 * delta[0].norm()
    torch.testing.assert_close(one.propose([0, 2]), delta[[0, 2]])
    # A group learns from its own samples alone: those of the other one leave its G where it was.
    state = copy.deepcopy(one.method.state_dict()["perturber"])
    one.samples = torch.tensor([1, 1, 3, 5])
    one.perturb()
    after = one.method.state_dict()["perturber"]
    moved = {name.split(".")[1] for name in state if not torch.equal(state[name], after[name])}
    assert moved == {"1"}


def test_the_samples_of_a_group_share_a_universal_direction(opened: Open, fabric: Fabric) -> None:
    one = scene(opened("method=universal", "threat.groups=2"), fabric)
    one.samples = torch.tensor([0, 2, 4, 1])
    before = one.propose()
    delta = one.perturb()
    assert delta is not None
    directions = torch.nn.functional.normalize(delta.flatten(1), dim=1)
    cosines = directions @ directions.T
    torch.testing.assert_close(cosines[:3, :3], torch.ones(3, 3))
    assert (cosines[:3, 3].abs() < 0.5).all()
    assert equal(one.propose([3]), delta[3:])
    # A group that nobody of the batch belongs to stays where it was.
    one.samples = torch.tensor([0, 0, 0, 0])
    one.perturb()
    one.samples = torch.tensor([0, 2, 4, 1])
    torch.testing.assert_close(one.propose()[3], delta[3])
    assert (delta[0] - before[0]).norm() > 0.1 * before[0].norm()


def test_a_second_application_starts_from_the_first(opened: Open, fabric: Fabric) -> None:
    """By hand: ĝ at a tenth of a random δ, δ = ĝ + G(y, ĝ), ĝ' at that δ added to it, and G once more."""
    one = scene(opened(*VARIANTS["G sees the gradient twice"]), fabric)
    budget, G = one.method.budget, one.method._raw  # type: ignore[attr-defined]

    def direction(at: Tensor) -> Tensor:
        at = at.detach().requires_grad_()
        with evaluating(one.f):
            error = (one.f(one.y + at) - one.x).square().sum()
        return budget.rescale(torch.autograd.grad(error, at)[0], one.y)

    met: list[Tensor] = []
    handle = G.register_forward_pre_hook(lambda _, inputs: met.append(inputs[1]))
    proposal = one.propose()
    handle.remove()
    first, second = met
    with torch.no_grad():
        between = budget.rescale(first + G(one.y, first), one.y)
        last = budget.rescale(second + G(one.y, second), one.y)
    torch.testing.assert_close(
        second, budget.rescale(between + direction(between), one.y), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(proposal, last)
    torch.testing.assert_close(budget.size(first, one.y), budget.size(second, one.y))


@pytest.mark.parametrize("name", ["erm", "weight_decay", "parseval"])
def test_a_plain_method_perturbs_nothing(name: str, opened: Open, fabric: Fabric) -> None:
    assert scene(opened(*VARIANTS[name]), fabric).perturb() is None

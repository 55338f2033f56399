"""One step of f: accumulation, the update's clip, decay, Parseval's retraction, and the gradient that G goes up."""

import copy
from collections.abc import Callable, Iterable

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from variants import VARIANTS, flat

from ctrobust.experiment import Experiment
from ctrobust.reconstruct import LearnedReconstructor
from ctrobust.reconstruct.load import build_network
from ctrobust.train.loop import Training, take_step
from ctrobust.train.methods import find_method
from ctrobust.train.run import make_optimizer

Open = Callable[..., Experiment]
Batch = tuple[Tensor, Tensor, Tensor]


def training_of(experiment: Experiment, fabric: Fabric) -> Training:
    recipe = experiment.recipe
    torch.manual_seed(0)
    f = LearnedReconstructor(experiment.projector, build_network(recipe), recipe.scan.window)
    method = find_method(str(recipe.method))(recipe, fabric)
    method.prepare(f)
    method.begin(0, recipe.train.steps)
    return Training(f.train(), make_optimizer(f, recipe.train), method, fabric, {})


def batch_of(experiment: Experiment) -> Batch:
    y, x = experiment.pair(experiment.split.train[:4])
    return y, x, torch.arange(4)


def weights(training: Training) -> list[Tensor]:
    return [weight.detach().clone() for weight in training.f.parameters()]


def flats(training: Training) -> dict[str, Tensor]:
    """What a method has learned, by the keys of its state."""
    return {key: flat(value) for key, value in copy.deepcopy(training.method.state_dict()).items()}


def close(found: Iterable[Tensor], expected: Iterable[Tensor]) -> None:
    """To the rounding of the largest: a bias before a group norm of its own has a gradient of nothing else."""
    found, expected = (torch.cat([part.flatten() for part in parts]) for parts in (found, expected))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("parts", [2, 3])
@pytest.mark.parametrize("name", VARIANTS)
def test_parts_one_after_the_other_are_one_batch(name: str, parts: int, opened: Open, fabric: Fabric) -> None:
    """f, G, the universal directions, λ₂ and what is remembered, over two steps to rounding; 3 parts of 4 are 2 + 2.

    With group norm; gradients pass through to the weights as they are: Adam would blow rounding up.
    """
    found = []
    for accumulate in (1, parts):
        options = ["train.optimizer=sgd", "train.momentum=0", "train.lr=1e-4", "threat.optimizer=sgd"]
        experiment = opened(
            *VARIANTS[name],
            "network.norm=group",
            f"train.accumulate={accumulate}",
            *options,
            "threat.lr=1e-3",
        )
        training = training_of(experiment, fabric)
        before, known = weights(training), flats(training)
        for step in range(2):
            training.method.begin(step, 2)
            figures = take_step(training, *batch_of(experiment))
        learned = flats(training)
        for key, values in known.items():
            if len(values) == len(learned[key]):
                learned[key] -= values
        moved = [after - earlier for after, earlier in zip(weights(training), before, strict=True)]
        found.append((moved, learned, figures))
    (moved, learned, figures), (same, again, told) = found
    close(same, moved)
    for key, values in learned.items():
        close([again[key]], [values])
    assert told == pytest.approx(figures, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_no_weight_moves_by_more_than_the_limit(optimizer: str, opened: Open, fabric: Fabric) -> None:
    options = ["method=jitter", f"train.optimizer={optimizer}", "train.lr=0.1"]
    limited = opened(*options, "train.clip_update=1e-2")
    training = training_of(limited, fabric)
    for step in range(3):
        before = weights(training)
        training.method.begin(step, 3)
        take_step(training, *batch_of(limited))
        moved = [(a - b).abs().max() for a, b in zip(weights(training), before, strict=True)]
        # To the rounding of weights of order one.
        assert max(moved) <= 1e-2 + 1e-7
        assert max(moved) > 0.99e-2
    free = training_of(opened(*options), fabric)
    before = weights(free)
    take_step(free, *batch_of(limited))
    assert max((a - b).abs().max() for a, b in zip(weights(free), before, strict=True)) > 2e-2


def test_weight_decay_by_hand(opened: Open, fabric: Fabric) -> None:
    """θ ← (θ − Adam's step)(1 − lr·decay) for kernels, the step alone for gains and biases."""
    decayed = opened("method=weight_decay", "regularize.weight_decay=20", "train.lr=1e-2")
    one, other = training_of(decayed, fabric), training_of(opened("method=erm", "train.lr=1e-2"), fabric)
    for training in (one, other):
        take_step(training, *batch_of(decayed))
    for found, plain in zip(weights(one), weights(other), strict=True):
        torch.testing.assert_close(found, plain * (1 - 1e-2 * 20) if plain.ndim > 1 else plain)


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_parseval_holds_its_kernels_at_isometries(norm: str, opened: Open, fabric: Fabric) -> None:
    """While Adam pulls, a hundred times; and f learns all the same."""
    steps = 100
    experiment = opened("method=parseval", f"network.norm={norm}", "train.lr=1e-2", f"train.steps={steps}")
    training = training_of(experiment, fabric)
    batch = batch_of(experiment)
    history = []
    for step in range(steps):
        training.method.begin(step, steps)
        history.append(take_step(training, *batch))
    assert 1e-3 < max(figures["off_isometry"] for figures in history) <= 0.05
    kernels = [m.weight for m in training.f.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    off = []
    for kernel in kernels[:-1]:
        unfolded = kernel.detach().double().flatten(1) * kernel[0, 0].numel() ** 0.5
        off.append(float((torch.linalg.svdvals(unfolded) - 1).abs().max()))
    assert history[-1]["off_isometry"] == pytest.approx(max(off), rel=1e-2, abs=1e-5)
    gains = [m.weight for m in training.f.modules() if isinstance(m, nn.BatchNorm2d | nn.GroupNorm)]
    assert gains
    assert all((gain == 1).all() for gain in gains)
    assert history[-1]["clean"] < 0.9 * history[0]["clean"]


def test_the_last_kernel_of_parseval_may_be_small_but_not_large(opened: Open, fabric: Fabric) -> None:
    training = training_of(opened("method=parseval"), fabric)
    last = [m.weight for m in training.f.modules() if isinstance(m, nn.Conv2d)][-1]
    for scale, expected in ((0.5, 0.5), (1.0, 1.0), (40.0, 1.0)):
        last.data *= scale / torch.linalg.matrix_norm(last.detach().flatten(1), 2)
        training.method.constrain(training.f, 1e-3)
        assert float(torch.linalg.matrix_norm(last.detach().flatten(1), 2)) == pytest.approx(expected)


def test_parseval_is_watched_at_the_steps_that_are_logged(opened: Open, fabric: Fabric) -> None:
    experiment = opened("method=parseval", "train.log_every=2", "train.checkpoint_every=5", "train.steps=7")
    training = training_of(experiment, fabric)
    watched = []
    for step in range(7):
        training.method.begin(step, 7)
        if "off_isometry" in training.method.constrain(training.f, 1e-3):
            watched.append(step + 1)
    assert watched == [2, 4, 5, 6, 7]


TOGETHER = ["method=minmax", "threat.turns=together", "threat.weight=0.7"]


@pytest.mark.parametrize("sees", ["sinogram", "gradient"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_together_G_goes_up_what_f_goes_down(
    sees: str, accumulate: int, opened: Open, fabric: Fabric
) -> None:
    """f as if δ were a constant; G by SGD along +∂/∂φ of λ₁ ‖f(y + δ) − x‖²."""
    options = [
        *TOGETHER,
        f"threat.sees={sees}",
        "threat.optimizer=sgd",
        "threat.lr=1e-3",
        "network.norm=group",
    ]
    experiment = opened(*options, f"train.accumulate={accumulate}")
    training = training_of(experiment, fabric)
    batch = y, x, samples = batch_of(experiment)
    G, f = training.method._raw, copy.copy(training.f)  # type: ignore[attr-defined]
    before = [weight.detach().clone() for weight in G.parameters()]

    training.method.perturb(f, y, x, samples)
    delta = training.method._turn.delta  # type: ignore[attr-defined]
    both = f(torch.cat([y, y + delta]))
    gain = 0.7 * (both[4:] - x).square().flatten(1).sum(1).mean()
    ascent = torch.autograd.grad(gain, list(G.parameters()), retain_graph=True)
    detached = f(torch.cat([y, y + delta.detach()]))
    errors = (detached - torch.cat([x, x])).square().flatten(1).sum(1)
    descent = torch.autograd.grad(errors[:4].mean() + 0.7 * errors[4:].mean(), list(f.parameters()))

    take_step(training, *batch)
    risen = [(weight.detach() - earlier) for weight, earlier in zip(G.parameters(), before, strict=True)]
    close(risen, [1e-3 * up for up in ascent])
    close([weight.grad for weight in training.f.parameters()], descent)
    assert all(weight.grad is None or not weight.grad.any() for weight in G.parameters())


@pytest.mark.parametrize("turns", ["alternate", "together"])
def test_G_raises_the_error_of_a_held_f_in_either_turn(turns: str, opened: Open, fabric: Fabric) -> None:
    options = ["method=minmax", f"threat.turns={turns}", "threat.eps=0.1", "threat.lr=3e-3"]
    # f learns too slowly to move.
    experiment = opened(*options, "train.lr=1e-12", "train.freeze_norm=0", "train.steps=1000")
    training = training_of(experiment, fabric)
    training.f.eval()
    errors = []
    for step in range(40):
        training.method.begin(step, 1000)
        errors.append(take_step(training, *batch_of(experiment)))
    assert errors[-1]["adversarial"] - errors[-1]["clean"] > 1.5 * (
        errors[0]["adversarial"] - errors[0]["clean"]
    )


@pytest.mark.parametrize("name", VARIANTS)
def test_every_method_learns(name: str, opened: Open, fabric: Fabric) -> None:
    experiment = opened(*VARIANTS[name], "train.lr=1e-2", "regularize.weight_decay=1")
    training = training_of(experiment, fabric)
    batch = batch_of(experiment)
    figures = []
    for step in range(12):
        training.method.begin(step, 12)
        figures.append(take_step(training, *batch))
    assert figures[-1]["clean"] < 0.7 * figures[0]["clean"]
    if "adversarial" in figures[0]:
        assert figures[-1]["adversarial"] < 0.7 * figures[0]["adversarial"]

"""The parts of training, each on its own: objectives, order, schedule, history, flips."""

import csv

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning_fabric import Fabric

from ctrobust.core.geometry import ParallelBeam
from ctrobust.networks import FBPConvNet, SinogramPerturber
from ctrobust.operators import Projector
from ctrobust.reconstruct import LearnedReconstructor
from ctrobust.threat import L2Ball
from ctrobust.threat.ascent import squared_error
from ctrobust.train.augment import random_flips
from ctrobust.train.history import History
from ctrobust.train.minmax import MinMax
from ctrobust.train.objectives import hinges, squared_errors
from ctrobust.train.schedule import batches, set_learning_rate


def test_errors_are_sums_over_pixels() -> None:
    x = torch.zeros(2, 1, 3, 3)
    estimate = torch.stack([torch.ones(1, 3, 3), 2 * torch.ones(1, 3, 3)])
    torch.testing.assert_close(squared_errors(estimate, x), torch.tensor([9.0, 36.0]))


def test_the_hinge_is_relative_and_per_sample() -> None:
    y = torch.ones(2, 1, 2, 2)
    delta = torch.stack([0.01 * torch.ones(1, 2, 2), 0.5 * torch.ones(1, 2, 2)])
    torch.testing.assert_close(hinges(delta, y, 0.1), torch.tensor([0.0, 0.25 - 0.01], dtype=torch.float64))
    torch.testing.assert_close(hinges(7 * delta, 7 * y, 0.1), hinges(delta, y, 0.1))


@given(samples=st.integers(1, 30), size=st.integers(1, 8), start=st.integers(0, 40), seed=st.integers(0, 9))
def test_the_order_can_be_taken_up_anywhere(samples: int, size: int, start: int, seed: int) -> None:
    whole = list(batches(samples, size, range(60), seed=seed))
    assert list(batches(samples, size, range(start, 60), seed=seed)) == whole[start:]
    stream = [sample for batch in whole for sample in batch]
    for epoch in range(len(stream) // samples):
        assert sorted(stream[epoch * samples : (epoch + 1) * samples]) == list(range(samples))


def test_two_processes_see_what_one_with_twice_the_batch_does() -> None:
    one = list(batches(10, 6, range(20), seed=1))
    two = [list(batches(10, 3, range(20), seed=1, rank=rank, processes=2)) for rank in (0, 1)]
    assert [first + second for first, second in zip(*two, strict=True)] == one


def test_the_learning_rate_falls_along_a_cosine() -> None:
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=9.0)
    for done, expected in ((0, 2.0), (0.5, 1.0), (1, 0.0)):
        set_learning_rate(optimizer, 2.0, done)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(expected)


def test_flips_are_seeded_and_cover_all_four() -> None:
    x = torch.arange(6.0).reshape(1, 1, 2, 3).expand(64, 1, 2, 3)
    flipped = random_flips(x, range(64))
    assert torch.equal(flipped[5:9], random_flips(x[5:9], range(5, 9)))
    assert not torch.equal(flipped, random_flips(x, range(64, 128)))
    corners = {image[0, 0, 0].item() for image in flipped}
    assert corners == {0.0, 2.0, 3.0, 5.0}


def test_history_drops_what_came_after_the_checkpoint_and_a_torn_row(tmp_path) -> None:
    path = tmp_path / "history.csv"
    history = History(path, keep_until=0)
    for step in (1, 2, 3):
        history.add(step=step, clean=1 / step)
    with path.open("a") as stream:
        stream.write("4,0.1")
    History(path, keep_until=2).add(step=3, clean=0.5)
    with path.open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["step"], row["clean"]) for row in rows] == [("1", "1"), ("2", "0.5"), ("3", "0.5")]


@pytest.mark.parametrize("sees", ["sinogram", "gradient"])
def test_the_ascent_of_G_raises_the_error_of_f(sees: str) -> None:
    """G must end well above random noise of the same size on the batch it was trained on."""
    A = Projector(ParallelBeam(16, 9, pixel_mm=10.0))
    torch.manual_seed(0)
    f = LearnedReconstructor(A, FBPConvNet(4, 3)).eval()
    x = torch.rand(4, 1, 16, 16)
    y = A(x)
    adversary = MinMax(
        SinogramPerturber(8, 3, hints=int(sees == "gradient")),
        Fabric(accelerator="cpu", devices=1),
        eps=0.1,
        ball="project",
        sees=sees,
        weight=1.0,
        lambda_2=1.0,
        steps_per_update=40,
        lr=3e-3,
        seed=0,
    )
    delta, _ = adversary(f, y, x)
    noise = torch.randn(y.shape)
    noise *= (
        delta.flatten(1).norm(dim=1)[:, None, None, None] / noise.flatten(1).norm(dim=1)[:, None, None, None]
    )
    clean, attacked, random = (squared_error(f, y + d, x).mean() for d in (0 * noise, delta, noise))
    assert attacked - clean > 3 * (random - clean)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("steps_per_update", [1, 3])
def test_f_meets_what_G_proposes_after_its_ascent(precision: str, steps_per_update: int) -> None:
    """Mixed precision keeps copies of the weights: the δ handed on must come from the new ones."""
    A = Projector(ParallelBeam(16, 9, pixel_mm=10.0))
    torch.manual_seed(0)
    f = LearnedReconstructor(A, FBPConvNet(4, 3)).eval()
    y = A(torch.rand(2, 1, 16, 16))
    G = SinogramPerturber(8, 3)
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    adversary = MinMax(
        G,
        fabric,
        eps=0.1,
        ball="project",
        sees="sinogram",
        weight=1.0,
        lambda_2=1.0,
        steps_per_update=steps_per_update,
        lr=0.05,
        seed=0,
    )
    delta, _ = adversary(f, y, torch.rand(2, 1, 16, 16))
    with torch.no_grad(), fabric.autocast():
        expected = L2Ball(0.1).rescale(G(y), y)
    torch.testing.assert_close(delta, expected)


def test_lambda_2_grows_while_G_is_outside_the_hinge() -> None:
    A = Projector(ParallelBeam(16, 9, pixel_mm=10.0))
    torch.manual_seed(0)
    f = LearnedReconstructor(A, FBPConvNet(4, 3)).eval()
    x = torch.rand(4, 1, 16, 16)
    adversary = MinMax(
        SinogramPerturber(4, 2, scale=1.0),
        Fabric(accelerator="cpu", devices=1),
        eps=0.02,
        ball="hinge",
        sees="sinogram",
        weight=1.0,
        lambda_2=1.0,
        steps_per_update=5,
        lr=1e-3,
        seed=0,
    )
    _, figures = adversary(f, A(x), x)
    assert figures["outside"] == 1
    assert figures["lambda_2"] == pytest.approx(1.1**5)

"""The parts of training, each on its own: objectives, order, schedule, history, flips."""

import csv
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ctrobust.recipes.schema import TrainRecipe
from ctrobust.threat import L2Ball
from ctrobust.train.augment import random_flips
from ctrobust.train.history import History
from ctrobust.train.objectives import hinges, squared_errors
from ctrobust.train.schedule import batches, learning_rate


def test_errors_are_sums_over_pixels() -> None:
    x = torch.zeros(2, 1, 3, 3)
    estimate = torch.stack([torch.ones(1, 3, 3), 2 * torch.ones(1, 3, 3)])
    torch.testing.assert_close(squared_errors(estimate, x), torch.tensor([9.0, 36.0]))


def test_the_hinge_is_per_sample_and_relative_or_not() -> None:
    y = torch.full((2, 1, 2, 2), 3.0)
    delta = torch.stack([0.03 * torch.ones(1, 2, 2), 1.5 * torch.ones(1, 2, 2)])
    ball = L2Ball(0.1)
    torch.testing.assert_close(hinges(delta, y, ball), torch.tensor([0.0, 0.25 - 0.01], dtype=torch.float64))
    torch.testing.assert_close(hinges(7 * delta, 7 * y, ball), hinges(delta, y, ball))
    absolute = torch.tensor([0.0, 9.0 - 0.01], dtype=torch.float64)
    torch.testing.assert_close(hinges(delta, y, L2Ball(0.1, relative=False)), absolute)


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


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("cosine", {0: 2.0, 0.25: 1 + 0.5**0.5, 0.5: 1.0, 1: 0.0}),
        # Three decades in the first half of the steps, constant after.
        ("log", {0: 2.0, 1 / 6: 0.2, 0.25: 2 * 1000**-0.5, 0.5: 0.002, 0.75: 0.002, 1: 0.002}),
    ],
)
def test_the_learning_rate_follows_its_schedule(schedule: str, expected: dict[float, float]) -> None:
    settings = replace(TrainRecipe(), lr=2.0, schedule=schedule, lr_end=0.002, lr_end_at=0.5)
    for done, rate in expected.items():
        assert learning_rate(settings, done) == pytest.approx(rate)


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


def test_history_goes_on_where_an_older_version_had_fewer_columns(tmp_path) -> None:
    path = tmp_path / "history.csv"
    path.write_text("step,clean,gone\n1,0.5,7\n2,0.4,7\n")
    History(path, keep_until=2, further=("delta_rel",)).add(step=3, clean=0.3, delta_rel=0.02)
    with path.open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["step"], row["clean"], row["delta_rel"]) for row in rows] == [
        ("1", "0.5", ""),
        ("2", "0.4", ""),
        ("3", "0.3", "0.02"),
    ]

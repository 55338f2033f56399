"""The worst slices are kept to be looked at: known by their errors alone, with the very δ that made them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ctrobust.core import statistics
from ctrobust.core.statistics import worst_places
from ctrobust.evaluate.judging import Trial
from ctrobust.evaluate.run import evaluate_run
from ctrobust.experiment import Experiment
from ctrobust.reconstruct import load

QUICK = (
    "evaluate.steps=3",
    "evaluate.restarts=2",
    "evaluate.batch_size=2",
    "evaluate.eps=[0,0.01,0.02,0.04]",
)


@pytest.mark.parametrize("budget", ["l2", "whitened"])
def test_the_worst_slice_is_stored_with_its_own_delta(
    trained: Path, opened: Callable[..., Experiment], budget: str
) -> None:
    experiment = opened(*QUICK, "evaluate.examples=1", f"evaluate.budget={budget}")
    f, split = load(trained), trained / "split.json"
    result, examples = evaluate_run(f, experiment, split)
    errors = np.asarray(result["slices"]["worst"][f"{examples['eps']:g}"])
    worst = result["slices"]["index"][int(errors.argmax())]
    assert examples["in_advance"].tolist() == [True, False]
    assert examples["slice_index"][1] == worst
    assert examples["patient"][1] == experiment.store.patients[worst]
    y, delta, truth = (torch.from_numpy(examples[name])[1:, None] for name in ("y", "delta", "truth"))
    with torch.no_grad():
        assert float((f(y + delta) - truth).square().sum()) == pytest.approx(errors.max(), rel=1e-5)


def test_of_several_worst_in_a_batch_each_has_its_own_delta(
    trained: Path, opened: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them was kept; the others are found again."""
    monkeypatch.setattr(statistics, "WORST_SHARE", 1.0)
    f = load(trained)
    result, examples = evaluate_run(f, opened(*QUICK, "evaluate.examples=1"), trained / "split.json")
    assert sorted(examples["slice_index"]) == sorted(result["slices"]["index"])
    assert examples["in_advance"].sum() == 1
    errors = dict(
        zip(result["slices"]["index"], result["slices"]["worst"][f"{examples['eps']:g}"], strict=True)
    )
    y, delta, truth = (torch.from_numpy(examples[name])[:, None] for name in ("y", "delta", "truth"))
    with torch.no_grad():
        found = (f(y + delta) - truth).square().sum((1, 2, 3)).tolist()
    assert found == pytest.approx([errors[index] for index in examples["slice_index"].tolist()], rel=1e-5)


def test_a_single_worst_one_is_not_attacked_again(
    trained: Path, opened: Callable[..., Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trial, "_again", None)
    _, examples = evaluate_run(load(trained), opened(*QUICK, "evaluate.examples=1"), trained / "split.json")
    assert examples["in_advance"].tolist() == [True, False]


def test_where_none_is_shown_no_worst_one_is_either(trained: Path, opened: Callable[..., Experiment]) -> None:
    _, examples = evaluate_run(load(trained), opened(*QUICK, "evaluate.examples=0"), trained / "split.json")
    assert examples["slice_index"].size == 0


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=1500))
def test_the_worst_one_percent(errors: list[float]) -> None:
    places = worst_places(np.asarray(errors))
    assert len(places) == min(12, -(-len(errors) // 100))
    assert [errors[place] for place in places] == sorted(errors, reverse=True)[: len(places)]

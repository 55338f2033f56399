"""An interrupted evaluation goes on; one in bfloat16 says what that cost."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ctrobust.evaluate.judging import Findings, Trial
from ctrobust.evaluate.mixed import MixedAscent
from ctrobust.evaluate.resuming import part_path
from ctrobust.evaluate.run import evaluate_run, write_evaluation
from ctrobust.experiment import Experiment
from ctrobust.reconstruct import load
from ctrobust.threat import L2Ball, ProjectedGradientAscent

Open = Callable[..., Experiment]
QUICK = ("evaluate.steps=2", "evaluate.batch_size=1", "evaluate.slices=3", "evaluate.examples=2")


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[int]]:
    """The batches judged so far; the third ends the process, once."""
    batches: list[Sequence[int]] = []
    whole = Trial.__call__

    def counted(trial: Trial, indices: Sequence[int]) -> Findings:
        batches.append(indices)
        if len(batches) == 3:
            raise KeyboardInterrupt
        return whole(trial, indices)

    monkeypatch.setattr(Trial, "__call__", counted)
    return batches


def evaluate(
    trained: Path, experiment: Experiment, out: Path | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    return evaluate_run(load(trained), experiment, trained / "split.json", out=out)


def test_what_was_judged_is_not_judged_again(
    trained: Path, opened: Open, tmp_path: Path, judged: list[Sequence[int]]
) -> None:
    out, experiment = tmp_path / "result.json", opened(*QUICK)
    with pytest.raises(KeyboardInterrupt):
        evaluate(trained, experiment, out)
    assert len(list(part_path(out).iterdir())) == 2
    # A file that is damaged counts for nothing; other settings have files of their own.
    resumed = evaluate(trained, experiment, out)
    assert len(judged) == 4
    anew = evaluate(trained, experiment, None)
    assert len(judged) == 7
    assert resumed[0] == anew[0]
    assert all(np.array_equal(resumed[1][name], anew[1][name]) for name in anew[1])
    next(part_path(out).glob("*.npz")).write_bytes(b"PK half a file")
    next(part_path(out).glob("*.json")).write_text("[1.0, 2")
    assert evaluate(trained, experiment, out)[0] == anew[0]
    assert len(judged) == 8
    evaluate(trained, opened(*QUICK, "evaluate.restarts=2"), out)
    assert len(judged) == 11
    write_evaluation(*resumed, out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["result.examples.npz", "result.json"]


def test_what_follows_the_batches_is_not_made_again_either(
    trained: Path, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other adversaries, the checks of every arm and the examinations; the second run finds all of them there."""
    more = ("evaluate.adversaries=[ring,universal]", "evaluate.examinations=[views,structures]")
    out, experiment = tmp_path / "result.json", opened(*QUICK, *more)
    anew, _ = evaluate(trained, experiment, None)
    assert evaluate(trained, experiment, out)[0] == anew

    def never(*given: object) -> None:
        raise KeyboardInterrupt

    for target in (
        "suite.Opponent.__call__",
        "examinations._made",
        "strength.errors",
        "strength._from_start",
    ):
        monkeypatch.setattr(f"ctrobust.evaluate.{target}", never)
    assert evaluate(trained, experiment, out)[0] == anew
    with pytest.raises(KeyboardInterrupt):
        evaluate(trained, opened(*QUICK, *more, "evaluate.restarts=2"), out)


def test_in_bfloat16_and_measured_in_float32(trained: Path, opened: Open) -> None:
    result, examples = evaluate(trained, opened(*QUICK, "evaluate.steps=20", "evaluate.precision=bf16"), None)
    assert result["attack"]["precision"] == "bf16"
    check = result["attack"]["checks"]["precision"]
    assert check["ok"], check
    f = load(trained)
    y, delta = (torch.from_numpy(examples[name])[:, None] for name in ("y", "delta"))
    errors = (f(y + delta)[:, 0] - torch.from_numpy(examples["truth"])).square().sum((1, 2))
    worst = dict(zip(result["slices"]["index"], result["slices"]["worst"]["0.02"], strict=True))
    assert [worst[index] for index in examples["slice_index"].tolist()] == pytest.approx(
        errors.tolist(), rel=1e-5
    )


def test_the_search_is_in_bfloat16_and_held_to_the_budget(trained: Path, opened: Open) -> None:
    f, seen = load(trained), []
    experiment = opened()
    y, x = experiment.pair(experiment.split.val)

    def spied(y: torch.Tensor) -> torch.Tensor:
        image = f(y)
        seen.append(torch.is_autocast_enabled("cpu"))
        return image

    budget = L2Ball(0.02)
    mixed = MixedAscent(budget, steps=3, restarts=1, allow_unmatched=True)
    delta = mixed(spied, y, x)
    assert all(seen)
    assert (budget.size(delta, y) <= 0.02).all()
    full = mixed.in_float32()
    assert type(full) is ProjectedGradientAscent
    assert not torch.equal(delta, full(f, y, x))
    assert isinstance(mixed.with_eps(0.01), MixedAscent)

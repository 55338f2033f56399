"""How strong an attack is at one radius: ρ̂ against its steps and its starts, and what a second attack finds."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ctrobust.threat import ProjectedGradientAscent
from ctrobust.threat.ascent import Reconstructor, squared_error

Check = dict[str, Any]
Errors = list[float]
"""‖f(y + δ) − x‖² of each slice."""

CONVERGENCE_TOLERANCE = 0.02


def check(value: float, limit: float, what: str, **more: Any) -> Check:
    """One line of `attack.checks`; more: what the report does not need to judge it."""
    return {"value": value, "limit": limit, "ok": bool(value < limit), "what": what, **more}


def trials(
    f: Reconstructor, y: Tensor, x: Tensor, attack: ProjectedGradientAscent
) -> dict[str, Callable[[], Errors]]:
    """What is to be run for `strength_checks`, by name; none needs what another finds.

    Each start by itself, since the worst of the first r of them is what r restarts find.
    """
    second = replace(attack, rule="adam", steps=2 * attack.steps)
    return {
        **{f"start {r}": partial(_from_start, f, y, x, attack, r) for r in range(attack.restarts + 1)},
        **{f"{n} steps": partial(errors, f, y, x, replace(attack, steps=n)) for n in _other_steps(attack)},
        "second": partial(errors, f, y, x, second),
    }


def strength_checks(found: Mapping[str, Errors], attack: ProjectedGradientAscent) -> dict[str, Check]:
    """Would a longer, a wider or another attack find more? With ρ̂ against steps and restarts; found: by `trials`."""
    by_restarts = [
        _mean([found[f"start {r}"] for r in range(count)]) for count in range(1, attack.restarts + 2)
    ]
    once, wider = by_restarts[-2:]
    by_steps = {attack.steps: once} | {
        steps: _mean([found[f"{steps} steps"]]) for steps in _other_steps(attack)
    }
    twice, second = by_steps[2 * attack.steps], _mean([found["second"]])
    on = f"at ε = {attack.budget.eps:g}, on {len(found['second'])} slices"
    return {
        "convergence": check(
            abs(twice - once) / once,
            CONVERGENCE_TOLERANCE,
            f"relative change of ρ̂ when the attack's steps are doubled, {on}",
            steps=sorted(by_steps),
            rho=[by_steps[steps] for steps in sorted(by_steps)],
        ),
        "restarts": check(
            abs(wider - once) / once,
            CONVERGENCE_TOLERANCE,
            f"relative change of ρ̂ when the attack starts once more, {on}",
            restarts=list(range(1, attack.restarts + 2)),
            rho=by_restarts,
        ),
        "second": check(
            max(second - once, 0.0) / once,
            CONVERGENCE_TOLERANCE,
            f"by how much more a second attack (Adam, twice the steps) finds, as a share of ρ̂, {on}",
        ),
    }


def errors(f: Reconstructor, y: Tensor, x: Tensor, attack: ProjectedGradientAscent) -> Errors:
    """Of each slice, under what the attack finds."""
    return _errors(f, y + attack(f, y, x), x)


def _from_start(
    f: Reconstructor, y: Tensor, x: Tensor, attack: ProjectedGradientAscent, restart: int
) -> Errors:
    start = attack.starting_point(y, restart)
    return _errors(f, y + replace(attack, restarts=1)(f, y, x, start), x)


def _errors(f: Reconstructor, y: Tensor, x: Tensor) -> Errors:
    found: Errors = squared_error(f, y, x).double().tolist()
    return found


def _other_steps(attack: ProjectedGradientAscent) -> list[int]:
    """Half as many and twice as many; those of the attack itself come with its starts."""
    return sorted({max(1, attack.steps // 2), 2 * attack.steps} - {attack.steps})


def _mean(starts: list[Errors]) -> float:
    """ρ̂ where each slice keeps the worst of several starts."""
    return float(torch.tensor(starts, dtype=torch.float64).amax(0).mean())

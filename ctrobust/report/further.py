"""The page's further tables: other adversaries, the attack's competence in words, and errors by anatomy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ctrobust.report.compare import everyone
from ctrobust.report.numbers import MINUS, error, general, listing, percent, times
from ctrobust.report.result import Adversary, Measured, Result
from ctrobust.report.runs import Run

# An adversary that finds this much more than the curve's own attack shows that attack to be weak.
STRONGER = 1.01


@dataclass(frozen=True)
class AdversaryRow:
    """One adversary on one run; share: of what the curve's attack adds to the clean error at the same size."""

    label: str
    name: str
    budget: str
    eps: str
    size: str
    rho: str
    interval: str
    share: str
    stronger: bool


@dataclass(frozen=True)
class Verdict:
    """Whether one curve may be believed: passed, failed or unchecked, and a sentence."""

    label: str
    kind: str
    sentence: str


def adversary_rows(runs: Sequence[Run]) -> list[AdversaryRow]:
    """Every adversary of every run, in the order of the evaluation."""
    return [_adversary(run, adversary) for run in runs for adversary in run.result.adversaries]


def verdicts(runs: Sequence[Run]) -> list[Verdict]:
    """One for each curve of the page."""
    learned = {run.label for run in runs}
    return [_verdict(label, measured, label in learned) for label, _, measured in everyone(runs)]


def anatomy_rows(runs: Sequence[Run]) -> list[tuple[str, list[tuple[str, ...]]]]:
    """For every run that has them its rows: region, its HU, share of pixels, RMSE clean and attacked, bias likewise."""
    return [(run.label, [_region(row) for row in run.result.anatomy]) for run in runs if run.result.anatomy]


def _adversary(run: Run, found: Adversary) -> AdversaryRow:
    share, stronger = _share(run.result, found)
    return AdversaryRow(
        run.label,
        found.name,
        found.budget,
        "–" if found.eps is None else run.result.written(found.eps),
        "–" if found.size is None else percent(found.size),
        error(found.rho),
        " – ".join(map(error, found.rho_ci95)) if found.rho_ci95 else "",
        share,
        stronger,
    )


def _share(result: Result, found: Adversary) -> tuple[str, bool]:
    clean = result.learned.at(0.0)
    point = None if found.eps is None else result.learned.at(found.eps)
    if clean is None or point is None or point.rho <= clean.rho:
        return "–", False
    return percent_of((found.rho - clean.rho) / (point.rho - clean.rho)), found.rho > STRONGER * point.rho


def percent_of(share: float) -> str:
    """Whole percents: 0.873 -> 87 %."""
    return percent(round(share, 2)).replace("-", MINUS)


def _verdict(label: str, measured: Measured, learned: bool) -> Verdict:
    count = len(measured.checks)
    if not count:
        same = "" if learned else "attacked with the same settings, but "
        told = "no check was made on this one itself; its curve is a lower bound of unknown tightness."
        return Verdict(label, "unchecked", same + told)
    if not measured.failed:
        every = "the one check made of it" if count == 1 else f"all {count} checks made of it"
        return Verdict(
            label,
            "passed",
            f"the attack passed {every}. Its curve is still a lower bound on the true worst case.",
        )
    named = listing(
        [
            f"“{check.title}” (found {_number(check.value)}, limit {_number(check.limit)})"
            for check in measured.failed
        ]
    )
    return Verdict(
        label,
        "failed",
        f"the attack failed {named}. Its curve is drawn dashed: the true worst case may be far larger, and no "
        "comparison with it counts.",
    )


def _number(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else general(value)


def _region(row: Mapping[str, Any]) -> tuple[str, ...]:
    clean, attacked = row["clean"], row["attacked"]
    return (
        str(row["region"]),
        _range(row.get("hu")),
        percent_of(row["pixels"]),
        _hu(clean["rmse_hu"]),
        _hu(attacked["rmse_hu"]),
        _ratio(clean["rmse_hu"], attacked["rmse_hu"]),
        _hu(clean["bias_hu"]),
        _hu(attacked["bias_hu"]),
        "–" if attacked["share"] is None else percent_of(attacked["share"]),
    )


def _range(hu: Any) -> str:
    low, high = hu if hu else (None, None)
    if low is None and high is None:
        return "–"
    if low is None:
        return f"below {high:g}".replace("-", MINUS)
    return (f"{low:g} and above" if high is None else f"{low:g} to {high:g}").replace("-", MINUS)


def _hu(value: float | None) -> str:
    return "–" if value is None else f"{round(value, 1) + 0.0:.1f}".replace("-", MINUS)


def _ratio(before: float | None, after: float | None) -> str:
    return "–" if before is None or after is None or before <= 0 else times(after / before)

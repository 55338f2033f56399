"""Which of two methods is better: paired on the same slices, by patient, corrected for all that is asked at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ctrobust.report.compare import baseline, comparable, everyone
from ctrobust.report.numbers import error, times
from ctrobust.report.paired import Paired, corrected, paired
from ctrobust.report.result import Measured, Slices
from ctrobust.report.runs import Run


@dataclass(frozen=True)
class Comparison:
    """One method against the one all are set against, at one size."""

    label: str
    colour: str
    against: str
    eps: float
    found: Paired
    doubted: bool

    @property
    def verdict(self) -> str:
        """In plain words; an attack in doubt decides nothing."""
        if self.found.p_holm is None:
            return f"no interval: {self.found.reason}"
        if self.doubted:
            return "nothing follows: an attack check failed"
        if not self.found.significant:
            return "not told apart"
        return "smaller error" if self.found.difference < 0 else "larger error"

    @property
    def texts(self) -> tuple[str, str, str]:
        """Difference, ratio and p as they are written, each with its interval."""
        found = self.found
        p = "–" if found.p_holm is None else f"{found.p_holm:.2g}" if found.p_holm >= 1e-3 else "< 0.001"
        ratio = "–" if found.ratio is None else times(found.ratio)
        return _signed(found.difference), ratio, p

    @property
    def intervals(self) -> tuple[str, str]:
        difference, ratio = self.found.difference_ci95, self.found.ratio_ci95
        return (
            "" if difference is None else " to ".join(map(_signed, difference)),
            "" if ratio is None else " to ".join(map(times, ratio)),
        )


def comparisons(runs: Sequence[Run], eps: float | None) -> list[Comparison]:
    """All against `erm`, or without it against the first; clean and at `eps`. Empty where no errors a slice are kept.

    One family of questions: p is corrected over all that have one.
    """
    shown = everyone(runs)
    base = baseline(runs) or runs[0]
    # Controls are those of a run; they may be of other data than the base.
    pairs = [(label, hue, other) for label, hue, other in shown if other is not base.result.learned]
    foreign = {
        id(m)
        for run in runs
        if not comparable(run, base)
        for m in (run.result.learned, *run.result.references)
    }
    found = [
        Comparison(
            label, hue, base.label, size, one, size > 0 and bool(other.failed or base.result.learned.failed)
        )
        for size in dict.fromkeys((0.0, *(() if eps is None else (eps,))))
        for label, hue, other in pairs
        if id(other) not in foreign and (one := _paired(other, base.result.learned, size)) is not None
    ]
    told = corrected([each.found for each in found])
    return [
        Comparison(each.label, each.colour, each.against, each.eps, one, each.doubted)
        for each, one in zip(found, told, strict=True)
    ]


def comparisons_note(rows: Sequence[Comparison]) -> str:
    """What the table is, with the multiplicity."""
    tested = sum(row.found.p is not None for row in rows)
    text = (
        f"Each method against {rows[0].against} on the same slices. Difference: mean of the squared errors per "
        "image less those of the other; below 0 is better. Ratio: geometric mean over slices. "
    )
    if not tested:
        return f"{text}No interval is given: {rows[0].found.reason}."
    made = (
        "one comparison, so nothing to correct" if tested == 1 else f"all {tested} comparisons of this table"
    )
    return (
        f"{text}Small print: 95 % intervals clustered by patient, not corrected. p: two-sided, of the difference, "
        f"after Holm’s correction over {made}; called different below 0.05. Intervals are over patients and say "
        "nothing of another training seed."
    )


def _paired(one: Measured, other: Measured, eps: float) -> Paired | None:
    """On the slices that both have."""
    if one.slices is None or other.slices is None:
        return None
    mine, theirs = _by_slice(one.slices, eps), _by_slice(other.slices, eps)
    shared = [key for key in mine if key in theirs]
    if not shared:
        return None
    errors, others = (np.array([side[key] for key in shared]) for side in (mine, theirs))
    return paired(errors, others, [patient for _, patient in shared])


def _by_slice(slices: Slices, eps: float) -> dict[tuple[int, str], float]:
    errors = slices.at(eps)
    if errors is None:
        return {}
    return dict(zip(zip(slices.index, slices.patient, strict=True), errors.tolist(), strict=True))


def _signed(value: float) -> str:
    return error(value) if value <= 0 else f"+{error(value)}"


def lead(rows: Sequence[Comparison], label: str, eps: float, written: str) -> str | None:
    """One sentence on one method at one size, None where there is no interval; written: the size as text."""
    row = next((each for each in rows if each.label == label and each.eps == eps), None)
    if row is None or row.found.p_holm is None or row.doubted:
        return None
    told = "tells them apart" if row.found.significant else "does not tell them apart"
    return (
        f"At {written}, {label}’s worst-case error less {row.against}’s is {row.texts[0]} (95 % interval "
        f"{row.intervals[0]}, paired by slice, clustered by patient); after correction for all comparisons this "
        f"{told}."
    )

"""The failure gallery: the worst 1 % of slices of every method, one at least, whatever they look like."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ctrobust.core.statistics import MOST_WORST, worst_places
from ctrobust.report.compare import hues
from ctrobust.report.numbers import error, times
from ctrobust.report.runs import Examples, Run
from ctrobust.report.scale import Scale
from ctrobust.report.slices import draw_row
from ctrobust.report.style import Picture, plain, slug


@dataclass(frozen=True)
class Failure:
    """One slice, its rank from 1 on: clean and worst-case error, the latter in medians; a picture where one is kept."""

    label: str
    colour: str
    rank: int
    judged: int
    slice_index: int
    patient: str
    clean: str
    worst: str
    times_median: str
    picture: Picture | None


def failures(runs: Sequence[Run], eps: float | None) -> list[Failure]:
    """Worst first, each method's own; empty where no errors a slice are kept at that size."""
    if eps is None:
        return []
    return [
        _failure(run, hue, rank, place, eps)
        for run, hue in zip(runs, hues(runs), strict=True)
        for rank, place in enumerate(_worst_places(run, eps), start=1)
    ]


def failures_note(runs: Sequence[Run], rows: Sequence[Failure], eps: float) -> str:
    """Which slices these are, and why some have no picture."""
    counts = [len(slices.index) for run in runs if (slices := run.result.learned.slices)]
    text = (
        f"The worst 1 % of slices of each method at {runs[0].result.sized(eps)}, one at least, of "
        f"{counts[0]} judged: chosen by the error alone."
    )
    if len(_worst_places(runs[0], eps)) == MOST_WORST:
        text += f" At most {MOST_WORST} a method."
    if any(row.picture is None for row in rows):
        text += " Where no image stands, the evaluation kept none of that slice."
    return text


def _worst_places(run: Run, eps: float) -> list[int]:
    slices = run.result.learned.slices
    errors = None if slices is None else slices.at(eps)
    return [] if errors is None else worst_places(errors)


def _failure(run: Run, hue: str, rank: int, place: int, eps: float) -> Failure:
    slices = run.result.learned.slices
    errors = None if slices is None else slices.at(eps)
    assert slices is not None
    assert errors is not None
    clean = slices.at(0.0)
    median = float(np.median(errors))
    return Failure(
        run.label,
        hue,
        rank,
        len(errors),
        slices.index[place],
        slices.patient[place],
        "–" if clean is None else error(float(clean[place])),
        error(float(errors[place])),
        f"{times(float(errors[place]) / median)} ×" if median > 0 else "–",
        _picture(run, slices.index[place]),
    )


def _picture(run: Run, index: int) -> Picture | None:
    """Of the first of its runs that kept that slice: in folds one alone has judged it."""
    for one in run.each:
        if one.examples is not None and index in one.examples.slice_index:
            return _drawn(one, one.examples, one.examples.slice_index.index(index))
    return None


def _drawn(run: Run, examples: Examples, place: int) -> Picture:
    index = examples.slice_index[place]
    truth, clean, attacked = (
        images[place] for images in (examples.truth, examples.f_clean, examples.f_attacked)
    )
    scale = Scale(run.result.in_hu)
    window = scale.window(truth)
    return draw_row(
        slug(["failure", str(index), run.label]),
        plain(run.label),
        (truth, clean, attacked),
        scale,
        window,
        f"{run.label} on slice {index}, patient {examples.patient[place]}, among its worst; "
        f"δ of {run.result.sized(examples.eps)}. Grey: {window}.",
    )

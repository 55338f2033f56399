"""The failure gallery: the worst 1 % of slices of every method, one at least, whatever they look like."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ctrobust.report.compare import hues
from ctrobust.report.numbers import error, times
from ctrobust.report.runs import Run
from ctrobust.report.scale import Scale
from ctrobust.report.slices import draw_row
from ctrobust.report.style import Picture, plain, slug

SHARE = 0.01
MOST_SHOWN = 12


@dataclass(frozen=True)
class Failure:
    """One slice: clean and worst-case error, the latter in medians; a picture where one is kept."""

    label: str
    colour: str
    rank: str
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
        for rank, place in enumerate(_worst_places(run, eps))
    ]


def failures_note(runs: Sequence[Run], rows: Sequence[Failure], eps: float) -> str:
    """Which slices these are, and why some have no picture."""
    counts = [len(slices.index) for run in runs if (slices := run.result.learned.slices)]
    text = (
        f"The worst 1 % of slices of each method at {runs[0].result.sized(eps)}, one at least, of "
        f"{counts[0]} judged: chosen by the error alone."
    )
    if len(_worst_places(runs[0], eps)) == MOST_SHOWN:
        text += f" At most {MOST_SHOWN} a method."
    if any(row.picture is None for row in rows):
        text += " Where no image stands, the evaluation kept none of that slice."
    return text


def _worst_places(run: Run, eps: float) -> list[int]:
    slices = run.result.learned.slices
    errors = None if slices is None else slices.at(eps)
    if errors is None:
        return []
    count = min(MOST_SHOWN, math.ceil(SHARE * len(errors)))
    return [int(place) for place in np.argsort(-errors, kind="stable")[:count]]


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
        f"{rank + 1} of {len(errors)}",
        slices.index[place],
        slices.patient[place],
        "–" if clean is None else error(float(clean[place])),
        error(float(errors[place])),
        f"{times(float(errors[place]) / median)} ×" if median > 0 else "–",
        _picture(run, slices.index[place]),
    )


def _picture(run: Run, index: int) -> Picture | None:
    examples = run.examples
    if examples is None or index not in examples.slice_index:
        return None
    place = examples.slice_index.index(index)
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

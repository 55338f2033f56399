"""Whether runs may be set side by side, and what a reader must be told where they may not."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctrobust.report.numbers import listing
from ctrobust.report.result import Measured, same_size
from ctrobust.report.runs import Run
from ctrobust.report.style import colour, grey

# What a run's own attack may differ in without being another attack.
NOT_SETTINGS = {"seconds", "seed", "device", "backend", "threads", "competent"}


def comparable(one: Run, other: Run) -> bool:
    """Whether both were measured on the same slices by the same scan: else a ratio means nothing."""
    return _measured_on(one) == _measured_on(other)


def baseline(runs: Sequence[Run]) -> Run | None:
    """The run the others are set against: `erm`, where there is one."""
    return next((run for run in runs if run.result.learned.method == "erm"), None)


def hues(runs: Sequence[Run]) -> list[str]:
    """A colour a run: one for each method, or where all are of one method, for each run."""
    methods = list(dict.fromkeys(run.result.learned.method for run in runs))
    return [
        colour(place if len(methods) == 1 else methods.index(run.result.learned.method))
        for place, run in enumerate(runs)
    ]


def references(runs: Sequence[Run]) -> list[tuple[str, Measured]]:
    """FBP and the other controls under attack, once for every set of measurements, with the names they go by.

    FBP by the window that f begins from is a control for each window.
    """
    found: list[tuple[Run, Measured]] = []
    for run in runs:
        for measured in run.result.references:
            if not any(_again((run, measured), known) for known in found):
                found.append((run, measured))
    return [(_name(owner, measured, found), measured) for owner, measured in found]


def _again(one: tuple[Run, Measured], other: tuple[Run, Measured]) -> bool:
    """Whether it is the same control on the same measurements, or has the other's very figures."""
    return comparable(one[0], other[0]) and (_kind(*one) == _kind(*other) or one[1].curve == other[1].curve)


def _kind(run: Run, measured: Measured) -> tuple[str, str]:
    return measured.method, _window(run) if measured is run.result.reference else ""


def _name(owner: Run, measured: Measured, found: Sequence[tuple[Run, Measured]]) -> str:
    """Its method; where that is not enough the window, or whose data they are."""
    name = _spoken(measured.method)
    namesakes = [other for other, one in found if one.method == measured.method]
    if len(namesakes) == 1:
        return name
    if all(comparable(owner, other) for other in namesakes):
        return f"{name}, {_window(owner)}"
    return f"{name} (data of {owner.label})"


def _window(run: Run) -> str:
    """Of the FBP that f begins from, which its reference is."""
    return str(run.settings["scan.window"])


def direct_name(run: Run) -> str:
    """What the linear reconstruction beside a run goes by: FBP, or the pseudo-inverse of a matrix."""
    return _spoken(run.result.reference.method) if run.result.reference else "FBP"


def everyone(runs: Sequence[Run]) -> list[tuple[str, str, Measured]]:
    """(label, colour, what was measured) of all on the page: the learned in colours, then the controls in greys."""
    learned = [(run.label, hue, run.result.learned) for run, hue in zip(runs, hues(runs), strict=True)]
    return learned + [(name, grey(i), measured) for i, (name, measured) in enumerate(references(runs))]


def _spoken(method: str) -> str:
    """Short names are abbreviations: fbp is FBP, tv is TV."""
    name, comma, rest = method.partition(",")
    short = name.isalpha() and name.islower() and len(name) <= 4
    return f"{name.upper() if short else name}{comma}{rest}"


def warnings(runs: Sequence[Run], left_out: Sequence[str]) -> list[str]:
    """Sentences for the box at the top of the page; empty when there is nothing to warn of."""
    found = [f"{name} is left out: it has no result.json yet." for name in left_out]
    found += _differences(runs)
    for run in runs:
        found += [f"{run.label}: {sentence}" for sentence in _doubts(run)]
    # Replicates have the same doubts.
    return list(dict.fromkeys(found))


def _differences(runs: Sequence[Run]) -> list[str]:
    found = []
    for what in _measured_on(runs[0]):
        if len({_measured_on(run)[what] for run in runs}) > 1:
            found.append(f"The runs were measured on different {what}; their curves must not be compared.")
    if any(_grid(run) != _grid(runs[0]) for run in runs):
        found.append(
            "The runs were measured at different sizes ε; compare them only where both have a point."
        )
    settings = [_attack(run) for run in runs]
    keys = sorted({key for one in settings for key in one})
    differing = [key for key in keys if len({one.get(key) for one in settings}) > 1]
    if differing:
        which = ", ".join(differing)
        found.append(f"The attacks differ in {which}; the weaker one flatters the run it was used on.")
    return found


def _doubts(run: Run) -> list[str]:
    found = []
    if failed := [f"“{check.title}”" for check in run.result.learned.failed]:
        checks = f"check{'s' * (len(failed) > 1)} {listing(failed)}"
        found.append(f"the attack failed its {checks}, so its curve may be far below the true worst case.")
    for measured in run.result.references:
        name = _spoken(measured.method)
        found += [f"the attack on {name} failed its check “{check.title}”." for check in measured.failed]
    examples = run.examples
    if not run.history and examples is None:
        found.append("was handed over without its history and its example slices, so neither is drawn.")
    elif examples is None:
        found.append("no example slices are stored beside the result; `ctrobust evaluate` writes them.")
    outside = examples is not None and (perturbation_sizes(run) > examples.eps * (1 + 1e-3)).any()
    if examples is not None and outside and run.result.relative:
        found.append(f"a perturbation shown is larger than the ε = {100 * examples.eps:g} % that it claims.")
    return found


def perturbation_sizes(run: Run) -> NDArray[np.float64]:
    """(k,) ‖δ‖/‖y‖ of the run's examples."""
    assert run.examples is not None
    whole = (1, 2)
    y, delta = (np.sqrt((sinogram**2).sum(axis=whole)) for sinogram in (run.examples.y, run.examples.delta))
    sizes: NDArray[np.float64] = delta / np.maximum(y, np.finfo(np.float64).tiny)
    return sizes


def shared_sizes(runs: Sequence[Run]) -> list[float]:
    """The eps > 0 that every run has a point at."""
    return [
        point.eps
        for point in runs[0].result.learned.curve
        if point.eps > 0 and all(run.result.learned.at(point.eps) for run in runs)
    ]


def all_sizes(runs: Sequence[Run]) -> list[float]:
    """Every eps that some run, or its reference, has a point at, ascending."""
    sizes: list[float] = []
    for run in runs:
        measured = (run.result.learned, *run.result.references)
        for point in (point for one in measured for point in one.curve):
            if not any(same_size(point.eps, size) for size in sizes):
                sizes.append(point.eps)
    return sorted(sizes)


def _measured_on(run: Run) -> dict[str, str]:
    data = run.result.data
    return {
        "data (the hash of the store)": _text(data.get("store_sha256")),
        "splits (the hash of the split)": _text(data.get("split_sha256")),
        "numbers of slices": _text(data.get("n_slices")),
        "image sizes": _text(run.setting("data", "size")),
        "scans": _text([_scan(run), None if run.scanned else run.recipe.get("seed")]),
    }


def _scan(run: Run) -> dict[str, Any]:
    """What decides y; where f begins is f's own."""
    own = ("scan.window", "scan.start")
    return {key: value for key, value in run.settings.items() if key.startswith("scan.") and key not in own}


def _grid(run: Run) -> list[str]:
    return [f"{point.eps:.9g}" for point in run.result.learned.curve]


def _attack(run: Run) -> dict[str, str]:
    return {key: _text(value) for key, value in run.result.attack.items() if key not in NOT_SETTINGS}


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)

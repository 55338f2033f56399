"""What the numbers say, as sentences: built from the results whichever way they fall."""

import math
from collections import Counter
from collections.abc import Sequence

from ctrobust.report.compare import baseline, comparable, everyone, shared_sizes
from ctrobust.report.comparisons import comparisons, lead
from ctrobust.report.numbers import decibel, error, fold, listing, times
from ctrobust.report.replicates import are_folds
from ctrobust.report.result import Measured, same_size
from ctrobust.report.runs import Run

# Below this relative difference two errors are called the same; seeds alone move them by more.
SAME = 0.05
# More reconstructors than this are not told one by one.
MANY = 5


def headline_size(runs: Sequence[Run]) -> float | None:
    """The eps the findings speak of: the one that most runs met in training where it was measured, else the nearest.

    None when the runs share no eps above zero.
    """
    sizes = shared_sizes(runs)
    if not sizes:
        return None
    met = Counter(run.trained_eps for run in runs if run.trained_eps)
    trained = max(met, key=met.__getitem__, default=None)
    if trained is None:
        trained = next((eps for run in runs if isinstance(eps := run.setting("threat", "eps"), float)), None)
    if not trained or trained <= 0:
        return sizes[len(sizes) // 2]
    target = trained
    return min(sizes, key=lambda eps: abs(math.log(eps / target)))


def what_was_done(runs: Sequence[Run]) -> str:
    """One plain sentence: what was attacked, on what, and how."""
    names = listing([run.label for run in runs])
    subject = f"The reconstructor {names} turns" if len(runs) == 1 else f"The reconstructors {names} turn"
    one = "slice" if runs[0].result.in_hu else "picture"
    return (
        f"{subject} {_scan(runs[0])} into an image; for each {one}{_on_what(runs[0])} an optimiser then "
        "looked for the tiny change of the measurement that spoils that very image most."
    )


def _scan(run: Run) -> str:
    if not run.scanned:
        numbers, geometry = run.setting("scan", "measurements"), run.setting("scan", "geometry")
        return f"{numbers} compressed measurements by a matrix ({geometry})"
    views = run.setting("scan", "views")
    return (
        f"a simulated CT measurement of {views} views"
        if isinstance(views, int)
        else "a simulated CT measurement"
    )


def title(runs: Sequence[Run]) -> str:
    """What the page is of."""
    what = "CT reconstruction" if all(run.result.in_hu for run in runs) else "reconstruction"
    return f"Robustness of {what}: {listing([run.label for run in runs])}"


def key_finding(runs: Sequence[Run]) -> str:
    """Growth of the error at the headline size, ratio to `erm`, and the price in clean quality."""
    eps = headline_size(runs)
    if eps is None:
        return "The runs share no size of perturbation, so nothing is compared here."
    sentence = _growth(runs, eps)
    versus = _versus(runs, eps)
    return sentence + (f"; at that size {versus}." if versus else ".")


def remarks(runs: Sequence[Run]) -> list[str]:
    """What keeps the key finding honest: random noise, sizes where the order turns, how few runs."""
    eps = headline_size(runs)
    found = [] if eps is None else [_random(runs, eps), *_turns(runs, eps)]
    if not runs[0].result.in_hu:
        found.append(
            "These are pictures with pixels from 0 to 1, not CT, and no error is in HU. Below, a slice is a picture, a "
            "patient what is independent of the rest: the picture itself, or the photograph it was cut from."
        )
    found += _replicates(runs)
    alone = [run for run in runs if not run.singles]
    few = [run for run in alone if all(point.rho_ci95 is None for point in run.result.learned.curve)]
    if few:
        found.append("No confidence interval is given: there are fewer than six patients to draw one from.")
    elif eps is not None:
        found += _overlaps(runs, eps)
    if len(runs) > 1 and len({run.result.learned.method for run in alone}) == len(runs):
        found.append(
            "Each method was trained once; how far another seed would move the numbers is not known."
        )
    return [sentence for sentence in found if sentence]


def _replicates(runs: Sequence[Run]) -> list[str]:
    """Seeds and folds, each said as what they are."""
    folded = [run for run in runs if run.singles and are_folds(run.singles)]
    return [
        sentence
        for pooled, how in (
            (
                [run for run in runs if run.singles and run not in folded],
                "means over {} runs each that differ in seed",
            ),
            (folded, "over all slices of {} folds, each slice judged by a run whose split kept it apart"),
        )
        if pooled
        for sentence in [_pooled(pooled, how)]
    ]


def _pooled(runs: Sequence[Run], how: str) -> str:
    counts = listing([str(count) for count in sorted({len(run.singles) for run in runs})])
    names = listing([run.label for run in runs])
    return f"The figures of {names} are {how.format(counts)}; slices and training are shown of the first."


def _on_what(run: Run) -> str:
    slices, patients = run.result.data.get("n_slices"), run.result.data.get("n_patients")
    if not isinstance(slices, int):
        return ""
    if not run.result.in_hu:
        return (
            f" of the test set ({slices} picture{'s' if slices != 1 else ''}, {patients} of them independent)"
        )
    of = f" of {patients} patient{'s' if patients != 1 else ''}" if isinstance(patients, int) else ""
    data = run.recipe.get("data")
    # Without a store of its own a run was measured on the embedded data set.
    phantoms = isinstance(data, dict) and "store" in data and data["store"] is None
    made = ", all of them computer-generated phantoms" if phantoms else ""
    return f" of the test set ({slices} slice{'s' if slices != 1 else ''}{of}{made})"


def _growth(runs: Sequence[Run], eps: float) -> str:
    parts = [
        (measured.fold(eps) or math.inf, f"of {name} {_to(measured, eps)}")
        for name, _, measured in everyone(runs)
        if measured.at(eps) is not None
    ]
    return f"A perturbation of {_size(runs, eps)} raises the squared error {_told(parts)}"


def _told(parts: Sequence[tuple[float, str]]) -> str:
    """All of them, or the least and the most where they would be a paragraph that nobody reads, and are known."""
    if len(parts) <= MANY or not all(math.isfinite(size) for size, _ in parts):
        return listing([words for _, words in parts])
    return f"at the least {min(parts)[1]}, at the most {max(parts)[1]}"


def _size(runs: Sequence[Run], eps: float) -> str:
    result = runs[0].result
    return f"{result.written(eps)} of the measurement" if result.relative else result.written(eps)


def _to(measured: Measured, eps: float) -> str:
    ratio = measured.fold(eps)
    if ratio is not None:
        return fold(ratio)
    point = measured.at(eps)
    return f"to {error(point.rho)}" if point else ""


def _versus(runs: Sequence[Run], eps: float) -> str:
    base = baseline(runs)
    if base is None or len(runs) == 1:
        return ""
    others = [run for run in runs if run is not base and comparable(run, base)]
    if not others:
        return "the runs were measured on different data, so no ratio between them is stated"
    if len(others) == 1:
        run = others[0]
        return f"{run.label}’s worst-case error is {_ratio(run, base, eps)}, at {_price(run, base)}"
    parts = [
        (_at(eps, _ratios(run, base)), f"{_ratio(run, base, eps)} for {run.label} ({_price(run, base)})")
        for run in others
    ]
    return f"the worst-case error is {_told(parts)}"


def _at(eps: float, ratios: Sequence[tuple[float, float]]) -> float:
    """The ratio at that size, infinite where it is not known."""
    return next((ratio for size, ratio in ratios if same_size(size, eps)), math.inf)


def _ratio(run: Run, base: Run, eps: float) -> str:
    ratio = _at(eps, _ratios(run, base))
    if ratio == math.inf:
        return f"of no known ratio to {base.label}’s"
    return f"{'about the same as' if abs(ratio - 1) < SAME else f'{times(ratio)} ×'} {base.label}’s"


def _price(run: Run, base: Run) -> str:
    gap = run.result.learned.clean.psnr_db - base.result.learned.clean.psnr_db
    if abs(gap) < 0.05:
        return "the same clean PSNR"
    return f"a clean PSNR {decibel(abs(gap))} dB {'higher' if gap > 0 else 'lower'}"


def _random(runs: Sequence[Run], eps: float) -> str:
    parts = []
    for name, _, measured in everyone(runs):
        clean, point = measured.at(0.0), measured.at(eps)
        if clean is not None and point is not None and clean.rho > 0:
            parts.append((point.random / clean.rho, f"of {name} {fold(point.random / clean.rho)}"))
    if not parts:
        return ""
    return f"Random noise of the same size, {runs[0].result.written(eps)}, raises the squared error {_told(parts)}."


def _turns(runs: Sequence[Run], eps: float) -> list[str]:
    """Sizes at which a run better than `erm` at the headline is worse, or the other way round."""
    base = baseline(runs)
    found = []
    for run in runs:
        if base is None or run is base or not comparable(run, base):
            continue
        ratios = _ratios(run, base)
        here = next((ratio for size, ratio in ratios if same_size(size, eps)), 1.0)
        turned = [
            f"at {runs[0].result.written(size)} its worst-case error is {times(ratio)} × {base.label}’s"
            for size, ratio in ratios
            if (here < 1 and ratio > 1 + SAME) or (here > 1 and ratio < 1 - SAME)
        ]
        if turned:
            found.append(f"The order is not the same at every size for {run.label}: {listing(turned)}.")
    return found


def _ratios(run: Run, base: Run) -> list[tuple[float, float]]:
    pairs = [(point, base.result.learned.at(point.eps)) for point in run.result.learned.curve]
    return [(mine.eps, mine.rho / theirs.rho) for mine, theirs in pairs if theirs and theirs.rho > 0]


def _overlaps(runs: Sequence[Run], eps: float) -> list[str]:
    base = baseline(runs)
    theirs = base.result.learned.at(eps) if base else None
    if base is None or theirs is None or theirs.rho_ci95 is None:
        return []
    rows, found = comparisons(runs, eps), []
    for run in runs:
        told = lead(rows, run.label, eps, runs[0].result.written(eps))
        if told:
            found.append(told)
            continue
        mine = run.result.learned.at(eps)
        if run is base or mine is None or mine.rho_ci95 is None or not comparable(run, base):
            continue
        (low, high), (base_low, base_high) = mine.rho_ci95, theirs.rho_ci95
        if low <= base_high and base_low <= high:
            found.append(
                f"At {runs[0].result.written(eps)} the 95 % intervals of {run.label} and {base.label} overlap."
            )
    return found

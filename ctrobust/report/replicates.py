"""Runs that differ in seed and split alone: one line of the page, by their mean.

Folds that leave patients out judge every patient once: their slices together are one evaluation, with its interval.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from statistics import fmean
from typing import Any

import numpy as np

from ctrobust.core.statistics import clustered_interval
from ctrobust.report.numbers import general
from ctrobust.report.result import Adversary, Check, Clean, Measured, Point, Result, Slices
from ctrobust.report.runs import Run

# Where a file lies is no setting, that it is another one is seen by its hash; nor is what else was asked of a run.
NOT_SETTINGS = (
    "seed",
    "data.store",
    "data.split",
    *(f"evaluate.{key}" for key in ("controls", "adversaries", "transfer_from", "examinations", "examples")),
)


def pool(runs: Sequence[Run]) -> list[Run]:
    """One run a setting: itself where it is alone, else the mean of its replicates, which are its `singles`.

    What is not averaged is that of the first: recipe, history and examples; anatomy and examinations of the first that
    has them.
    """
    groups: dict[str, list[list[Run]]] = {}
    settings = [_settings(run, runs) for run in runs]
    for run, own in zip(runs, settings, strict=True):
        alike = groups.setdefault(repr(own), [])
        # The same seed and split twice is no replicate.
        free = (group for group in alike if all(_draw(other) != _draw(run) for other in group))
        group = next(free, None)
        if group is None:
            alike.append([run])
        else:
            group.append(run)
    found = [group for alike in groups.values() for group in alike]
    flat = {id(run): own for run, own in zip(runs, settings, strict=True)}
    labels = _labels(found, [flat[id(group[0])] for group in found])
    return [
        group[0] if len(group) == 1 else _mean(group, label)
        for group, label in zip(found, labels, strict=True)
    ]


def _draw(run: Run) -> tuple[Any, Any]:
    return run.recipe.get("seed"), run.result.data.get("split_sha256")


def _settings(run: Run, runs: Sequence[Run]) -> dict[str, Any]:
    """All that two replicates have in common, flat."""
    flat = {key: value for key, value in run.settings.items() if key not in NOT_SETTINGS}
    data = run.result.data
    on_same = [other for other in runs if other.result.data == data]
    if len({other.setting("scan", "pixel_mm") for other in on_same}) == 1:
        del flat["scan.pixel_mm"]  # the median of the training slices, as it came out
    if flat.get("train.epochs") is not None:
        del flat["train.steps"]
    # What was judged may be another f than the recipe's own: a control, a function of the user's.
    return {**flat, "method": run.result.learned.method, "store": data.get("store_sha256")}


def _labels(groups: Sequence[Sequence[Run]], settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The method, and what sets it apart from the same method elsewhere on the page."""
    labels = []
    for group, own in zip(groups, settings, strict=True):
        others = [other for other in settings if other["method"] == own["method"]]
        apart = [key for key, value in own.items() if any(other.get(key) != value for other in others)]
        said = [f"{key.rpartition('.')[2]} {general(own[key])}" for key in apart]
        method = group[0].result.learned.method
        labels.append(f"{method} ({', '.join(said)})" if said else method)
    return [
        label if labels.count(label) == 1 else f"{label} #{labels[: place + 1].count(label)}"
        for place, label in enumerate(labels)
    ]


def _mean(group: Sequence[Run], label: str) -> Run:
    results = [run.result for run in group]
    references = [result.reference for result in results if result.reference is not None]
    learned, folded = _mean_measured([result.learned for result in results]), are_folds(group)
    merged = Result(
        learned=learned,
        reference=_mean_measured(references) if len(references) == len(group) else None,
        attack=results[0].attack,
        metrics=results[0].metrics,
        data=_merged([result.data for result in results]) | _whole(learned.slices, folded),
        provenance=results[0].provenance,
        controls=_mean_controls(results),
        # Of one of them, as far as its own table goes, with its intervals; of folds all slices together.
        adversaries=_over_folds(results) if folded else results[0].adversaries,
        anatomy=next((result.anatomy for result in results if result.anatomy), ()),
        examinations=next((result.examinations for result in results if result.examinations), {}),
    )
    return replace(group[0], label=label, result=merged, singles=tuple(group))


def are_folds(group: Sequence[Run]) -> bool:
    """Whether they judged different slices, none of them on two splits: then they are pooled by slices."""
    judged = [run.result.learned.slices for run in group]
    return _apart([slices for slices in judged if slices is not None]) and None not in judged


def _apart(each: Sequence[Slices]) -> bool:
    parts = {frozenset(zip(one.index, one.patient, strict=True)) for one in each}
    return len(parts) > 1 and sum(map(len, parts)) == len(frozenset().union(*parts))


def _whole(slices: Slices | None, folded: bool) -> dict[str, int]:
    """Of folds: how much they judged together."""
    if slices is None or not folded:
        return {}
    return {"n_slices": len(slices.index), "n_patients": len(set(slices.patient))}


def _over_folds(results: Sequence[Result]) -> tuple[Adversary, ...]:
    """Every adversary that all have with an error for each slice: the mean over all slices."""
    rows = [{row.name: row for row in result.adversaries} for result in results]
    patients = [result.learned.slices.patient for result in results if result.learned.slices]
    owners = [owner for part in patients for owner in part]
    found = []
    for name, first in rows[0].items():
        same = [one[name] for one in rows if name in one]
        if [len(row.worst) for row in same] != [len(part) for part in patients]:
            continue
        errors = np.concatenate([row.worst for row in same])
        sizes = [row.size for row in same]
        size = (
            None
            if None in sizes
            else _weighted([s for s in sizes if s is not None], list(map(len, patients)))
        )
        found.append(
            replace(
                first,
                rho=float(errors.mean()),
                rho_ci95=clustered_interval(errors, owners),
                size=size,
                worst=errors,
            )
        )
    return tuple(found)


def _mean_controls(results: Sequence[Result]) -> tuple[Measured, ...]:
    """Those that all of them have."""
    arms = [{control.method: control for control in result.controls} for result in results]
    return tuple(
        _mean_measured([one[method] for one in arms])
        for method in arms[0]
        if all(method in one for one in arms)
    )


def _mean_measured(each: Sequence[Measured]) -> Measured:
    """Seeds without intervals: those over patients are not those over runs. Folds count by their slices."""
    slices = _mean_slices([one.slices for one in each])
    folded = slices is not None and _apart([one.slices for one in each if one.slices])
    weights = [len(one.slices.index) if folded and one.slices else 1 for one in each]
    points = [[one.at(point.eps) for one in each] for point in each[0].curve]
    return Measured(
        method=each[0].method,
        clean=Clean(
            **{
                field.name: _weighted([getattr(one.clean, field.name) for one in each], weights)
                for field in fields(Clean)
            }
        ),
        curve=tuple(
            _mean_point([point for point in row if point], weights, slices if folded else None)
            for row in points
            if all(row)
        ),
        checks=_telling(each),
        slices=slices,
    )


def _weighted(values: Sequence[Any], weights: Sequence[int]) -> Any:
    """None where that is not known of any."""
    return None if None in values else fmean(values, weights)


def _mean_slices(each: Sequence[Slices | None]) -> Slices | None:
    """A slice's errors are the mean over the replicates that judged it: all seeds, or its own fold."""
    known = [one for one in each if one is not None]
    if len(known) < len(each):
        return None
    rows: dict[tuple[int, str], list[tuple[Slices, int]]] = {}
    for one in known:
        for place, key in enumerate(zip(one.index, one.patient, strict=True)):
            rows.setdefault(key, []).append((one, place))
    keys = sorted(rows)
    shared = [eps for eps in known[0].worst if all(one.at(eps) is not None for one in known)]
    worst = {eps: np.array([_mean_error(rows[key], eps) for key in keys]) for eps in shared}
    return Slices(tuple(index for index, _ in keys), tuple(patient for _, patient in keys), worst)


def _mean_error(judged: Sequence[tuple[Slices, int]], eps: float) -> float:
    return fmean(errors[place] for one, place in judged if (errors := one.at(eps)) is not None)


def _telling(each: Sequence[Measured]) -> tuple[Check, ...]:
    """Of each check the one that failed, or was closest to it."""
    by_name: dict[str, list[Check]] = {}
    for check in (check for one in each for check in one.checks):
        by_name.setdefault(check.name, []).append(check)
    return tuple(min(same, key=lambda check: (check.ok, _margin(check))) for same in by_name.values())


def _margin(check: Check) -> float:
    value, limit = check.value, check.limit
    if not (isinstance(value, int | float) and isinstance(limit, int | float)):
        return 0.0
    return abs(value - limit) if check.ok else -abs(value - limit)


def _mean_point(row: Sequence[Point], weights: Sequence[int], slices: Slices | None) -> Point:
    """slices: of all folds together, for the interval over their patients."""
    rho, random, psnr_db = (
        _weighted([getattr(point, name) for point in row], weights) for name in ("rho", "random", "psnr_db")
    )
    errors = None if slices is None else slices.at(row[0].eps)
    mean = replace(row[0], rho=rho, rho_ci95=None, random=random, psnr_db=psnr_db)
    if slices is None or errors is None:
        return mean
    return replace(mean, rho=float(errors.mean()), rho_ci95=clustered_interval(errors, slices.patient))


def _merged(each: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Values that differ side by side, each once: runs on the same splits are then known for it."""
    merged = {}
    for key in each[0]:
        values = sorted({general(one.get(key)) for one in each})
        merged[key] = each[0][key] if len(values) == 1 else ", ".join(values)
    return merged

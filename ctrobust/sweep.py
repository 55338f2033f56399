"""A grid over a recipe's keys: one run folder a point, what is done is kept, what was interrupted goes on."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from ctrobust.core.errors import UserError
from ctrobust.core.progress import say
from ctrobust.experiment import open_source
from ctrobust.networks.checkpoint import load_checkpoint, weights_sha256
from ctrobust.recipes import Recipe, load_recipe, read_recipe
from ctrobust.recipes.loading import FILES, differing_keys
from ctrobust.reconstruct.load import build_network
from ctrobust.store.split import split_record
from ctrobust.study import run_study

SHORT = {"eps": "threat.eps"}
Axes = dict[str, list[str]]


@dataclass(frozen=True)
class Point:
    """One run of a grid; its name, made of what varies, is its folder's."""

    name: str
    recipe: Recipe


def make_grid(
    recipe: str, assignments: Sequence[str], *, store: Path | None = None, split: Path | None = None
) -> list[Point]:
    """Every combination of the values, the last key's the fastest: `["method=erm,minmax", "seed=0,1"]`.

    A comma inside brackets does not part. store, split: of all points. Raises UserError where any point is not a
    recipe, where its data are not there, or where two would share a folder.
    """
    axes = _axes(assignments)
    given = {key: file.resolve() for key, file in zip(FILES, (store, split), strict=True) if file}
    for key in axes.keys() & given.keys():
        raise UserError(f"{key}: given twice, by its key and by an option; leave one out")
    if "method" not in axes:
        methods = load_recipe(recipe).method
        axes = {"method": [methods] if isinstance(methods, str) else list(methods)} | axes
    points = [
        _point(recipe, dict(zip(axes, values, strict=True)), axes, given)
        for values in product(*axes.values())
    ]
    names = [point.name for point in points]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{name}: two points of the grid would share this folder; give each value once")
    _require_data(points)
    return points


def run_sweep(points: Sequence[Point], out: Path) -> dict[str, str]:
    """Run what is not done yet, one after the other, each in `out`/NAME; returns what failed, with the reason.

    KeyboardInterrupt and SystemExit pass, once the point under way has left a checkpoint to go on from.
    """
    failed = {}
    for number, point in enumerate(points, 1):
        where = f"point {number} of {len(points)}, {point.name}"
        try:
            if is_done(point, out):
                say(f"{where}: done already")
                continue
            say(where)
            run_study(point.recipe, out / point.name)
        except (UserError, OSError) as mistake:
            failed[point.name] = str(mistake)
            say(f"{where}: failed, {mistake}")
    return failed


def is_done(point: Point, out: Path) -> bool:
    """Whether `out`/NAME was trained to its end by this recipe, and judged with the weights it has."""
    folder = out / point.name
    # The page is drawn last: where it is missing, so may be anything else.
    if not (folder / "report.html").exists() or not (folder / "result.json").exists():
        return False
    recorded = read_recipe(folder / "recipe.yaml")
    last, best = (load_checkpoint(folder / "checkpoints" / which) for which in ("last", "best"))
    patience = recorded.train.patience
    ended = last["step"] >= recorded.train.steps or (
        patience is not None and last.get("waited", 0) >= patience
    )
    if not ended or not _asked_for(point.recipe, recorded):
        return False
    network = build_network(recorded)
    network.load_state_dict(best["network"])
    try:
        judged = json.loads((folder / "result.json").read_text()).get("weights_sha256")
    except ValueError:
        return False
    return bool(judged == weights_sha256(network))


def _axes(assignments: Sequence[str]) -> Axes:
    axes: Axes = {}
    for assignment in assignments:
        key, found, text = assignment.partition("=")
        values = _parted(text)
        if not (found and key and all(values)):
            raise UserError(f"argument {assignment!r}: give key=value,value,… such as seed=0,1,2")
        key = SHORT.get(key, key)
        if key in axes:
            raise UserError(f"{key}: given twice; give all its values at once, with commas")
        axes[key] = values
    return axes


def _parted(text: str) -> list[str]:
    """At commas outside brackets."""
    depth, values = 0, [""]
    for letter in text:
        depth += (letter in "[({") - (letter in "])}")
        if letter == "," and depth == 0:
            values.append("")
        else:
            values[-1] += letter
    return [value.strip() for value in values]


def _point(recipe: str, values: dict[str, str], axes: Axes, given: dict[str, Path]) -> Point:
    built = load_recipe(recipe, [f"{key}={value}" for key, value in values.items()])
    if not isinstance(built.method, str):
        raise UserError(f"method={values['method']}: a point has one; give method=erm,minmax, no brackets")
    store, split = (given.get(key) or values.get(key) for key in FILES)
    store, split = store or built.data.store, split or built.data.split
    data = replace(built.data, store=_absolute(store), split=_absolute(split))
    varied = [key for key in values if key == "method" or len(axes[key]) > 1]
    return Point(",".join(_named(key, values[key]) for key in varied), replace(built, data=data))


def _absolute(path: Path | str | None) -> str | None:
    """So that the run's own recipe is right from any folder."""
    return str(Path(path).resolve()) if path else None


def _named(key: str, value: str) -> str:
    """What a folder may be called, and nothing of where a file lies."""
    text = Path(value).stem if key in FILES else value
    short = next((short for short, long in SHORT.items() if long == key), key)
    plain = re.sub(r"[^\w.+-]+", "-", text).strip("-")
    return f"{short}={plain}"


def _require_data(points: Sequence[Point]) -> None:
    for data in {point.recipe.data for point in points if point.recipe.data.store}:
        open_source(data).close()
    for split in {point.recipe.data.split for point in points} - {None}:
        split_record(Path(str(split)))


def _asked_for(asked: Recipe, recorded: Recipe) -> bool:
    """A run's own recipe has filled in what was left open; files may have moved."""
    scan, train = asked.scan, asked.train
    if scan.pixel_mm is None:
        scan = replace(scan, pixel_mm=recorded.scan.pixel_mm)
    if train.precision == "auto":
        train = replace(train, precision=recorded.train.precision)
    if train.epochs is not None:
        train = replace(train, steps=recorded.train.steps)
    return set(differing_keys(replace(asked, scan=scan, train=train), recorded)) <= set(FILES)

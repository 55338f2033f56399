"""Every trained method and every control under every adversary, on the slices that each fold left out.

    python docs/results/robustness.py RUNS [RUNS ...] --out runs/robustness

RUNS: folders of sweeps (docs/results/folds.md). Judges each run, and on each split the controls, by the adversaries of
`ctrobust evaluate`, a few slices of each split spread over its patients (of the slow controls one); what is done
already is kept. Then prints a table, a row an adversary and a column an arm, the same again on the slices that all arms
share, and draws the page of what lies in --out.
"""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ctrobust.core.files import sha256_of
from ctrobust.core.progress import say
from ctrobust.core.statistics import clustered_interval
from ctrobust.evaluate.controls import tuned
from ctrobust.evaluate.run import evaluate_run, write_evaluation
from ctrobust.experiment import Experiment, open_experiment
from ctrobust.recipes import read_recipe, write_recipe
from ctrobust.recipes.schema import Recipe
from ctrobust.reconstruct import load
from ctrobust.report import write_report
from ctrobust.threat import ADVERSARIES

EPS = 0.02
CONTROLS = ("fbp", "cgls", "sirt", "tv")
# The curve's own ascent is `momentum`; its other step rules find the same maximum or less. Two need more than f.
LEFT_OUT = ("momentum", "plain", "halving", "generator", "transfer")
EVERYONE = tuple(name for name in ADVERSARIES if name not in LEFT_OUT)
# Hundreds of applications of A in every step of an attack: the same attack, on one slice of each split.
SLOW = ("sirt", "tv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--slices", type=int, default=3, help="of each split, spread over its patients")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--restarts", type=int, default=1)
    parser.add_argument("--controls", default=",".join(CONTROLS), help="which; the slow ones are sirt and tv")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    folds = by_split(given.runs)
    for number, folders in enumerate(folds.values(), 1):
        arms = Counter(arm_of(read_recipe(folder / "recipe.yaml")) for folder in folders)
        if repeated := [arm for arm, count in arms.items() if count > 1]:
            parser.error(f"fold {number} has several runs of {', '.join(repeated)}: give one of each")
        for folder in folders:
            judge_run(folder, surrogate(folder, folders), given, number)
        for name in filter(None, given.controls.split(",")):
            judge_control(name, folders[0], given, number)
    print("\n".join(as_tables(given.out)))
    say(f"page: {write_report([*sorted(results(given.out))], given.out)}")


def by_split(sweeps: list[Path]) -> dict[str, list[Path]]:
    """The finished runs on each split."""
    found: dict[str, list[Path]] = defaultdict(list)
    for split in sorted(path for sweep in sweeps for path in sweep.glob("*/split.json")):
        if (split.parent / "result.json").exists():
            found[sha256_of(split)].append(split.parent)
    return found


def surrogate(folder: Path, folders: list[Path]) -> Path:
    """Whose δ is used on it: those made on erm, on erm those made on minmax; of the same window where there is one."""
    recipes = {one: read_recipe(one / "recipe.yaml") for one in folders}
    wanted, window = ("minmax" if recipes[folder].method == "erm" else "erm"), recipes[folder].scan.window
    found = [one for one, recipe in recipes.items() if recipe.method == wanted]
    if not found:
        raise SystemExit(
            f"{folder}: no {wanted} run on its split, whose δ would be used on it; give its sweep as well"
        )
    return max(found, key=lambda one: recipes[one].scan.window == window)


def arm_of(recipe: Recipe) -> str:
    """The method, of minmax what G sees, and the window that f begins from where it is not the published one."""
    seen = [recipe.threat.sees] if recipe.method == "minmax" else []
    window = [recipe.scan.window] if recipe.scan.window != "ram-lak" else []
    return "-".join([str(recipe.method), *seen, *window])


def asked(recipe: Recipe, given: argparse.Namespace, adversaries: tuple[str, ...], **more: object) -> Recipe:
    """The run's recipe with the attack of this study."""
    attack = {"eps": (0.0, EPS), "slices": given.slices, "steps": given.steps, "restarts": given.restarts}
    rest = {"controls": (), "examples": 1, "adversaries": adversaries}
    return replace(recipe, evaluate=replace(recipe.evaluate, **(attack | rest | more)))


def judge_run(folder: Path, foreign: Path, given: argparse.Namespace, number: int) -> None:
    recipe = read_recipe(folder / "recipe.yaml")
    out = given.out / f"{arm_of(recipe)}-{number}.json"
    own = ("generator",) if recipe.method == "minmax" else ()
    if not out.exists():
        recipe = asked(recipe, given, (*EVERYONE, "transfer", *own), transfer_from=str(foreign))
        experiment = open_experiment(recipe, split=folder / "split.json")
        write(load(folder), experiment, folder, out)


def judge_control(name: str, folder: Path, given: argparse.Namespace, number: int) -> None:
    out = given.out / f"{name}-{number}.json"
    if not out.exists():
        few = {"slices": 1} if name in SLOW else {}
        recipe = asked(read_recipe(folder / "recipe.yaml"), given, EVERYONE, **few)
        experiment = open_experiment(recipe, split=folder / "split.json")
        arm = tuned(name, experiment)
        say(f"{out.name}: {arm.settings}")
        write(arm, experiment, folder, out, method=name)


def write(f, experiment: Experiment, folder: Path, out: Path, **named: str) -> None:
    found = evaluate_run(f, experiment, folder / "split.json", run=folder, out=out, **named)
    write_recipe(experiment.recipe, out.with_suffix(".recipe.yaml"))
    write_evaluation(*found, out)


def results(out: Path) -> Iterator[Path]:
    return (path for path in out.glob("*-[0-9]*.json"))


Slice = tuple[str, int]
Errors = dict[str, dict[str, dict[Slice, float]]]
"""By adversary, by arm, by patient and index: ‖f(y + δ) − x‖²."""


def as_tables(out: Path) -> Iterator[str]:
    """A row an adversary, a column an arm: the mean over its slices and the 95 % interval over patients."""
    errors, failed = read(out)
    arms = sorted(errors["ascent"], key=lambda arm: -np.mean(list(errors["ascent"][arm].values())))
    yield from table(errors, arms, failed)
    shared = set.intersection(*(set(errors["ascent"][arm]) for arm in arms))
    yield f"\nOn the {len(shared)} slices of all:\n"
    common = {
        name: {
            arm: {one: error for one, error in found.items() if one in shared} for arm, found in row.items()
        }
        for name, row in errors.items()
    }
    yield from table(common, arms, failed)


def read(out: Path) -> tuple[Errors, Counter[str]]:
    """The errors, and of how many splits an arm's attack failed a check.

    `worst of all` is the largest, slice by slice, of what is held to ε: the ascent and every other adversary but the
    faults, each in a box of its own.
    """
    errors: Errors = defaultdict(lambda: defaultdict(dict))
    failed: Counter[str] = Counter()
    for path in sorted(results(out)):
        arm, result = path.stem.rpartition("-")[0], json.loads(path.read_text())
        failed[arm] += not result["attack"]["competent"]
        slices, worst = result["slices"], result["slices"]["worst"]
        curve = dict(zip(("clean", "ascent"), worst.values(), strict=True))
        held = {row["name"]: row["worst"] for row in result["adversaries"] if row["budget"] != "box"}
        boxed = {row["name"]: row["worst"] for row in result["adversaries"] if row["budget"] == "box"}
        curve["worst of all"] = np.max([curve["ascent"], *held.values()], axis=0).tolist()
        for name, found in (curve | held | boxed).items():
            errors[name][arm] |= dict(
                zip(zip(slices["patient"], slices["index"], strict=True), found, strict=True)
            )
    return errors, failed


def table(errors: Errors, arms: list[str], failed: Counter[str]) -> Iterator[str]:
    yield f"| adversary | {' | '.join(arm + ' †' * bool(failed[arm]) for arm in arms)} |"
    yield f"|---|{'---:|' * len(arms)}"
    yield f"| slices (splits whose checks failed) | {' | '.join(_counted(errors, arm, failed) for arm in arms)} |"
    for name, row in errors.items():
        yield f"| {name.replace('_', ' ')} | {' | '.join(_cell(row.get(arm, {})) for arm in arms)} |"


def _counted(errors: Errors, arm: str, failed: Counter[str]) -> str:
    return f"{len(errors['ascent'][arm])} ({failed[arm]})"


def _cell(found: dict[Slice, float]) -> str:
    if not found:
        return "–"
    values = np.array(list(found.values()))
    interval = clustered_interval(values, [patient for patient, _ in found])
    return f"{values.mean():.0f}" + ("" if interval is None else f" [{interval[0]:.0f}, {interval[1]:.0f}]")


if __name__ == "__main__":
    main()

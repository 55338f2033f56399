"""Train by a recipe, attack what was trained, and write the report."""

from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ctrobust.core.errors import UserError
from ctrobust.core.progress import say

if TYPE_CHECKING:
    from ctrobust.recipes.schema import DataRecipe


def configure(parser: ArgumentParser) -> None:
    parser.add_argument(
        "recipe", nargs="?", metavar="RECIPE", help="demo, tiny, erm, minmax, ct-128, or a YAML file"
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="any key of the recipe, dotted")
    parser.add_argument("--data", metavar="STORE.h5", help="store to train on; default: the recipe's")
    parser.add_argument("--split", metavar="SPLIT.json", help="division of that store; default: by patient")
    parser.add_argument("--out", metavar="DIR", type=Path, help="default: runs/RECIPE, or -2, -3 … after it")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on where a run in --out (default: the latest runs/RECIPE) stopped; repeat recipe and overrides",
    )
    parser.add_argument("--print-recipe", metavar="NAME", help="print a recipe with every default, and stop")


def run(arguments: Namespace) -> int:
    from ctrobust.recipes.loading import as_yaml, load_recipe

    if arguments.print_recipe:
        print(as_yaml(load_recipe(arguments.print_recipe)), end="")
        return 0
    if arguments.recipe is None:
        raise UserError("no recipe given: name one, such as demo, or give a YAML file")
    recipe = load_recipe(arguments.recipe, arguments.overrides)
    out = arguments.out or _default_folder(Path(arguments.recipe).stem, arguments.resume)
    if out.exists() and not arguments.resume:
        raise UserError(f"{out}: exists already; give another --out, or --resume to go on there")
    if arguments.resume and not out.exists():
        say(f"{out}: nothing there to resume; starting anew")
    recorded = _recorded_data(out)
    store = arguments.data or recipe.data.store or recorded.store
    split = arguments.split or recipe.data.split or recorded.split
    recipe = replace(recipe, data=replace(recipe.data, store=_absolute(store), split=_absolute(split)))

    from ctrobust.study import run_study

    try:
        page = run_study(recipe, out)
    except KeyboardInterrupt:
        say(f"stopped; to go on from the last checkpoint, repeat the command with --out {out} --resume")
        return 130
    if page is not None:
        print(page)
    return 0


def _recorded_data(out: Path) -> "DataRecipe":
    """What a run in `out` was trained on: to resume, --data and --split need not be given again."""
    from ctrobust.recipes import read_recipe
    from ctrobust.recipes.schema import DataRecipe

    found = sorted([*out.glob("recipe.yaml"), *out.glob("*/recipe.yaml")])
    return read_recipe(found[0]).data if found else DataRecipe()


def _absolute(path: str | None) -> str | None:
    """So that the run's own recipe is right from any folder."""
    return str(Path(path).resolve()) if path else None


def _default_folder(name: str, resume: bool) -> Path:
    """The first of runs/name, runs/name-2, … that does not exist; to resume, the last that does."""
    number, folder = 1, Path("runs") / name
    while folder.exists():
        latest, number = folder, number + 1
        folder = Path("runs") / f"{name}-{number}"
    return latest if resume and number > 1 else folder

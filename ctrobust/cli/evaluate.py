"""Measure a run's worst-case error by projected gradient ascent, with random noise as control."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctrobust.core.errors import UserError
from ctrobust.core.files import require_writable
from ctrobust.core.progress import say

if TYPE_CHECKING:
    from ctrobust.core.records import Split
    from ctrobust.recipes import Recipe


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="folder of a trained run; its checkpoints/best is judged")
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="evaluate.key=value",
        help="the attack's keys of the recipe, such as evaluate.steps=200",
    )
    parser.add_argument("--data", metavar="STORE.h5", type=Path, help="default: the run's own")
    parser.add_argument("--split", metavar="SPLIT.json", type=Path, help="default: the run's own")
    parser.add_argument("--eps", metavar="E,E,…", type=_radii, help="default: the recipe's evaluate.eps")
    parser.add_argument(
        "--out",
        metavar="RESULT.json",
        type=Path,
        help="default: RUN/result.json, and keep an earlier one",
    )


def run(arguments: Namespace) -> int:
    if arguments.out:
        _require_new(arguments.out)

    from ctrobust.evaluate.run import evaluate_run, set_aside, write_evaluation
    from ctrobust.experiment import open_experiment
    from ctrobust.networks.checkpoint import load_checkpoint
    from ctrobust.reconstruct import load
    from ctrobust.reconstruct.load import run_folder
    from ctrobust.store.split import split_record
    from ctrobust.train.running import make_fabric

    folder = run_folder(arguments.run)
    if not (arguments.split or (folder / "split.json").exists()):
        raise UserError(f"{folder}: its split.json is missing; name the split it was trained with by --split")
    recipe = _recipe(folder, arguments)
    fabric = make_fabric("fp32")
    f = load(folder, device=fabric.device)
    split = arguments.split or folder / "split.json"
    experiment = open_experiment(recipe, split=split, device=str(fabric.device))
    if arguments.split and (folder / "split.json").exists():
        _require_unseen(experiment.split, split_record(folder / "split.json"))
    last = folder / "checkpoints" / "last"  # which a run that was handed over does not have
    trained = load_checkpoint(last)["step"] if last.exists() else recipe.train.steps
    if trained < recipe.train.steps and fabric.is_global_zero:
        say(
            f"{folder}: trained for {trained} of {recipe.train.steps} steps; its figures are of an unfinished run"
        )
    out = arguments.out or folder / "result.json"
    require_writable(out.parent)
    result, examples = evaluate_run(f, experiment, split, fabric=fabric)
    if fabric.is_global_zero:
        set_aside(out)
        write_evaluation(result, examples, out)
        print(as_table(result))
    return 0


def as_table(result: dict[str, Any]) -> str:
    """The curve in plain columns, f beside FBP."""
    method, reference = result["method"], result["reference"]["method"]
    lines = [f"{'eps':>7} {'rho ' + method:>14} {'random':>10} {'psnr dB':>8} {'rho ' + reference:>14}"]
    for row, other in zip(result["curve"], result["reference"]["curve"], strict=True):
        lines.append(
            f"{row['eps']:7.3%} {row['rho']:14.2f} {row['random']:10.2f} {row['psnr_db']:8.2f} {other['rho']:14.2f}"
        )
    return "\n".join(lines)


def _radii(text: str) -> list[float]:
    try:
        radii = [float(part) for part in text.split(",")]
    except ValueError:
        radii = [-1.0]
    if not all(0 <= radius < float("inf") for radius in radii):
        raise ArgumentTypeError(f"{text!r}: give numbers of 0 or more with commas, such as 0,0.005,0.02")
    return radii


def _require_new(out: Path) -> None:
    """Both files of a result; two that differ in their suffix alone would share the examples."""
    from ctrobust.evaluate.run import examples_path

    if out.suffix != ".json":
        raise UserError(f"--out {out}: a result is JSON; give a name that ends in .json")
    for path in (out, examples_path(out)):
        if path.exists():
            raise UserError(f"{path}: exists already; give another --out")


def _recipe(folder: Path, arguments: Namespace) -> "Recipe":
    """The run's own, but for where its data are now and how it is attacked."""
    from dataclasses import replace

    from ctrobust.recipes import load_recipe

    for override in arguments.overrides:
        _require_of_the_attack(override.partition("=")[0])
    recipe = load_recipe(str(folder / "recipe.yaml"), arguments.overrides)
    if arguments.data:
        recipe = replace(recipe, data=replace(recipe.data, store=str(arguments.data)))
    if arguments.eps is not None:
        recipe = replace(recipe, evaluate=replace(recipe.evaluate, eps=tuple(arguments.eps)))
    return recipe


def _require_of_the_attack(key: str) -> None:
    """All other keys made the run what it is."""
    from dataclasses import fields

    from ctrobust.recipes.schema import EvaluateRecipe

    if key.startswith("evaluate."):
        return
    known = [field.name for field in fields(EvaluateRecipe)]
    near = get_close_matches(key.rpartition(".")[2], known, 1)
    cure = f"did you mean evaluate.{near[0]}?" if near else f"known: evaluate.{', evaluate.'.join(known)}"
    raise UserError(f"{key}: a trained run is judged as it is, only evaluate.* can be given; {cure}")


def _require_unseen(split: "Split", own: "Split") -> None:
    """A split of one's own must not judge f on what it was trained or selected on."""
    seen = set(split.eval) & {*own.train, *own.val}
    if split.store_sha256 == own.store_sha256 and seen:
        raise UserError(
            f"--split: {len(seen)} of its {len(split.eval)} evaluation slices were trained or selected on by this "
            "run; give a split that holds them apart, or leave --split out"
        )

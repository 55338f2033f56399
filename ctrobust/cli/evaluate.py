"""Measure a reconstructor's worst-case error by projected gradient ascent, with random noise as control."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ctrobust.core.errors import UserError
from ctrobust.core.files import require_writable
from ctrobust.core.progress import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightning_fabric import Fabric

    from ctrobust.core.records import Split
    from ctrobust.experiment import Experiment
    from ctrobust.recipes import Recipe
    from ctrobust.recipes.schema import EvaluateRecipe
    from ctrobust.reconstruct.learned import Operator
    from ctrobust.threat.ascent import Reconstructor


def configure(parser: ArgumentParser) -> None:
    parser.add_argument(
        "run",
        metavar="RUN",
        help="folder of a trained run; its checkpoints/best is judged. With --f also a recipe: what is judged is --f "
        "then, on the data, split and scan of the run or recipe",
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="evaluate.key=value",
        help="the attack's keys of the recipe, such as evaluate.steps=200",
    )
    parser.add_argument(
        "--f",
        metavar="PACKAGE.MODULE:FUNCTION",
        help="judge a reconstructor of your own: the function is called once with the scan's Projector and returns "
        "f, a callable y -> x̂, (B, 1, views, bins) to (B, 1, H, W), that gradients go through. Or the name of an "
        "installed one (entry-point group ctrobust.reconstructors). Needs --out",
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
    elif arguments.f:
        raise UserError(
            f"--f {arguments.f}: give --out RESULT.json too; the result.json of a run is of its own f"
        )

    from ctrobust.evaluate.run import evaluate_run, set_aside, write_evaluation
    from ctrobust.recipes import write_recipe
    from ctrobust.train.running import make_fabric

    fabric = make_fabric("fp32")
    subject = (_custom if arguments.f else _trained)(arguments, fabric)
    require_writable(subject.out.parent)
    result, examples = evaluate_run(
        subject.f,
        subject.experiment,
        subject.split,
        run=subject.run,
        method=subject.method,
        out=subject.out,
        fabric=fabric,
        rebuild=subject.rebuild,
    )
    if fabric.is_global_zero:
        set_aside(subject.out)
        write_evaluation(result, examples, subject.out)
        if arguments.out:
            # So that `ctrobust report RESULT.json` knows what it is of, wherever the run is then.
            write_recipe(subject.experiment.recipe, subject.out.with_suffix(".recipe.yaml"))
        print(as_table(result))
    return 0


class _Subject(NamedTuple):
    """What is judged, on what, and where the result goes; run: a folder that may hold a trained G; rebuild: makes an f
    of one's own for another scan.
    """

    f: "Reconstructor"
    method: str
    experiment: "Experiment"
    split: Path
    run: Path
    out: Path
    rebuild: "Callable[[Operator], Reconstructor] | None" = None


def _trained(arguments: Namespace, fabric: "Fabric") -> _Subject:
    """The f of a run."""
    from ctrobust.experiment import open_experiment
    from ctrobust.networks.checkpoint import load_checkpoint
    from ctrobust.reconstruct import load
    from ctrobust.reconstruct.load import run_folder

    folder = run_folder(arguments.run)
    split = _split_of(folder, arguments)
    recipe = _recipe(folder / "recipe.yaml", arguments)
    f = load(folder, device=fabric.device)
    experiment = open_experiment(recipe, split=split, device=str(fabric.device))
    _require_unseen(experiment.split, folder, arguments)
    last = folder / "checkpoints" / "last"  # which a run that was handed over does not have
    trained = load_checkpoint(last)["step"] if last.exists() else recipe.train.steps
    if trained < recipe.train.steps and fabric.is_global_zero:
        say(
            f"{folder}: trained for {trained} of {recipe.train.steps} steps; its figures are of an unfinished run"
        )
    return _Subject(f, str(recipe.method), experiment, split, folder, arguments.out or folder / "result.json")


def _custom(arguments: Namespace, fabric: "Fabric") -> _Subject:
    """An f of one's own, on the data of a run or of a recipe."""
    from ctrobust.evaluate.custom import build_reconstructor
    from ctrobust.experiment import open_experiment
    from ctrobust.store.split import write_split

    folder = Path(arguments.run)
    split = _split_of(folder, arguments) if folder.is_dir() else arguments.split
    source = folder / "recipe.yaml" if folder.is_dir() else arguments.run
    experiment = open_experiment(_recipe(source, arguments), split=split, device=str(fabric.device))
    if split is None:
        # A recipe's own division is written down: the result names it by its hash.
        split = arguments.out.with_suffix(".split.json")
        if fabric.is_global_zero:
            require_writable(split.parent)
            write_split(experiment.split, split)
        fabric.barrier()
    make = partial(build_reconstructor, arguments.f, channels=experiment.recipe.data.channels)
    return _Subject(make(experiment.projector), arguments.f, experiment, split, folder, arguments.out, make)


def as_table(result: dict[str, Any]) -> str:
    """The curve in plain columns, f beside FBP; then the other adversaries, and the checks that failed."""
    method, reference, attack = result["method"], result["reference"]["method"], result["attack"]
    lines = [f"{'eps':>7} {'rho ' + method:>14} {'random':>10} {'psnr dB':>8} {'rho ' + reference:>14}"]
    for row, other in zip(result["curve"], result["reference"]["curve"], strict=True):
        size = f"{row['eps']:7.3%}" if attack["relative"] else f"{row['eps']:7g}"
        lines.append(
            f"{size} {row['rho']:14.2f} {row['random']:10.2f} {row['psnr_db']:8.2f} {other['rho']:14.2f}"
        )
    lines += [
        f"{row['name']}: rho {row['rho']:.2f}, size {row['size']:.3%} of ||y||"
        for row in result["adversaries"]
    ]
    arms = {"": attack, f" on {reference}": result["reference"]["attack"]}
    arms |= {f" on {name}, tuned": arm["attack"] for name, arm in result["controls"].items()}
    for on, checked in arms.items():
        failed = [name for name, check in checked["checks"].items() if not check["ok"]]
        lines += [f"attack checks failed{on}: {', '.join(failed)}"] if failed else []
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


def _split_of(folder: Path, arguments: Namespace) -> Path:
    own = folder / "split.json"
    if not (arguments.split or own.exists()):
        raise UserError(f"{folder}: its split.json is missing; name the split it was trained with by --split")
    return arguments.split or own


def _recipe(source: Path | str, arguments: Namespace) -> "Recipe":
    """The run's own, but for where its data are now and how it is attacked."""
    from dataclasses import replace

    from ctrobust.recipes import load_recipe

    for override in arguments.overrides:
        _require_of_the_attack(override.partition("=")[0])
    recipe = load_recipe(str(source), arguments.overrides)
    if arguments.eps is None and not any(text.startswith("evaluate.eps=") for text in arguments.overrides):
        _require_same_unit(load_recipe(str(source)).evaluate, recipe.evaluate)
    if arguments.data:
        recipe = replace(recipe, data=replace(recipe.data, store=str(arguments.data)))
    if arguments.eps is not None:
        recipe = replace(recipe, evaluate=replace(recipe.evaluate, eps=tuple(arguments.eps)))
    return recipe


def _require_same_unit(before: "EvaluateRecipe", now: "EvaluateRecipe") -> None:
    """The radii of one budget are no sizes of another."""
    if (before.budget, before.relative) != (now.budget, now.relative):
        raise UserError(
            f"evaluate.budget={now.budget}, relative={str(now.relative).lower()}: the radii {list(before.eps)} are "
            f"of {before.budget}, relative={str(before.relative).lower()}; give yours by --eps"
        )


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


def _require_unseen(split: "Split", folder: Path, arguments: Namespace) -> None:
    """A split of one's own must not judge f on what it was trained or selected on."""
    from ctrobust.store.split import split_record

    if not (arguments.split and (folder / "split.json").exists()):
        return
    own = split_record(folder / "split.json")
    seen = set(split.eval) & {*own.train, *own.val}
    if split.store_sha256 == own.store_sha256 and seen:
        raise UserError(
            f"--split: {len(seen)} of its {len(split.eval)} evaluation slices were trained or selected on by this "
            "run; give a split that holds them apart, or leave --split out"
        )

"""From a recipe to a report: train each method, attack it, draw the page."""

import json
import math
from dataclasses import replace
from pathlib import Path

from lightning_fabric import Fabric

from ctrobust.core.errors import UserError
from ctrobust.core.progress import say
from ctrobust.evaluate.run import evaluate_run, set_aside, write_evaluation
from ctrobust.experiment import Experiment, open_experiment
from ctrobust.networks.checkpoint import weights_sha256
from ctrobust.pipeline import embedded_store
from ctrobust.recipes import Recipe, read_recipe, write_recipe
from ctrobust.recipes.loading import FILES, differing_keys
from ctrobust.reconstruct import load
from ctrobust.report import write_report
from ctrobust.store.split import write_split
from ctrobust.train.run import train_run
from ctrobust.train.running import make_fabric, require_compiler, resolve_precision
from ctrobust.train.watching import require_watchers


def run_study(recipe: Recipe, out: Path) -> Path | None:
    """Everything a recipe asks for, in `out`: one run folder, or one a method. Returns the page's path (first process).

    `out` is made only once the recipe, the data and the split have been found in order. Where it holds runs of
    this recipe, what is done is kept and what was interrupted goes on. Raises UserError where it holds anything else.
    """
    recipe = replace(recipe, train=replace(recipe.train, precision=resolve_precision(recipe.train.precision)))
    require_watchers(recipe.train.log_to)
    fabric = make_fabric(recipe.train.precision)
    if recipe.train.compile:
        require_compiler(fabric.device.type)
    if recipe.data.store is recipe.data.pictures is None and fabric.is_global_zero:
        embedded_store()
    fabric.barrier()
    methods = (recipe.method,) if isinstance(recipe.method, str) else recipe.method
    folders = [out] if isinstance(recipe.method, str) else [out / method for method in methods]
    experiments = [
        _open(replace(recipe, method=method), folder, fabric)
        for method, folder in zip(methods, folders, strict=True)
    ]
    if fabric.is_global_zero:
        _require_own(out, folders)
        for experiment, folder in zip(experiments, folders, strict=True):
            _prepare(experiment, folder)
    fabric.barrier()
    for experiment, folder in zip(experiments, folders, strict=True):
        train_run(experiment, fabric, folder)
    # The first process writes the checkpoints; all judge what it wrote.
    fabric.barrier()
    for experiment, folder in zip(experiments, folders, strict=True):
        _evaluate(experiment, fabric, folder)
    if not fabric.is_global_zero:
        return None
    # All runs in the folder, also those of an earlier command.
    return write_report([out], out)


def _open(recipe: Recipe, folder: Path, fabric: Fabric) -> Experiment:
    own_split = folder / "split.json"
    split = own_split if own_split.exists() else None
    experiment = open_experiment(recipe, split=split, device=str(fabric.device))
    settings = experiment.recipe.train
    if settings.epochs is None:
        return experiment
    together = settings.batch_size * fabric.world_size
    steps = math.ceil(settings.epochs * len(experiment.split.train) / together)
    return replace(experiment, recipe=replace(experiment.recipe, train=replace(settings, steps=steps)))


def _require_own(out: Path, folders: list[Path]) -> None:
    """To resume in a folder of something else would mix the two."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; give a folder to --out")
    ours = {"split.json", *(folder.name for folder in folders)}
    for folder in {out, *folders}:
        if folder.is_dir() and not any((run / "recipe.yaml").exists() for run in folders):
            foreign = sorted(item.name for item in folder.iterdir() if item.name not in ours)
            if foreign:
                raise UserError(f"{folder}: holds {foreign[0]} but no run to resume; give another --out")


def _prepare(experiment: Experiment, folder: Path) -> None:
    """Write down how the run is born; where it was born before, hold it to that."""
    recorded, split = folder / "recipe.yaml", folder / "split.json"
    if recorded.exists():
        if not split.exists():
            raise UserError(
                f"{split}: missing, so nobody knows what the run was trained on; start anew elsewhere"
            )
        differing = differing_keys(read_recipe(recorded), experiment.recipe)
        changed = [key for key in differing if key not in FILES]
        if not all(key.startswith("evaluate.") for key in changed):
            raise UserError(
                f"{recorded}: {', '.join(changed)} differs from what is asked for now; resume with the same "
                "recipe and overrides, or start anew in another folder"
            )
        # What nobody has judged yet may be judged in another way.
        if changed and _judged(folder / "result.json"):
            raise UserError(
                f"{folder}: was judged by another {', '.join(changed)}; resume with the same, and judge anew: "
                f"ctrobust evaluate {folder} {changed[0]}=…"
            )
    else:
        folder.mkdir(parents=True, exist_ok=True)
        write_split(experiment.split, split)
    write_recipe(experiment.recipe, recorded)


def _evaluate(experiment: Experiment, fabric: Fabric, folder: Path) -> None:
    """Unless what is there was found for these very weights. All processes attack, the first one writes."""
    result = folder / "result.json"
    f = load(folder, device=experiment.projector.device)
    if fabric.broadcast(_judged(result) == weights_sha256(f.network)):
        if fabric.is_global_zero:
            say(f"{result} is of these weights already; kept")
        return
    found = evaluate_run(f, experiment, folder / "split.json", run=folder, out=result, fabric=fabric)
    if fabric.is_global_zero:
        set_aside(result)
        write_evaluation(*found, result)


def _judged(result: Path) -> str | None:
    try:
        return str(json.loads(result.read_text())["weights_sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None

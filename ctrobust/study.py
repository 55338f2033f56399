"""From a recipe to a report: train each method, attack it, draw the page."""

from dataclasses import replace
from pathlib import Path

from ctrobust.core.errors import UserError
from ctrobust.core.progress import say
from ctrobust.evaluate.run import evaluate_run
from ctrobust.experiment import Experiment, open_experiment
from ctrobust.pipeline import embedded_store
from ctrobust.recipes import Recipe, read_recipe, write_recipe
from ctrobust.recipes.loading import differing_keys
from ctrobust.reconstruct import load
from ctrobust.report import write_report
from ctrobust.store.split import write_split
from ctrobust.train.run import train_run
from ctrobust.train.running import make_fabric, resolve_precision


def run_study(recipe: Recipe, out: Path, *, resume: bool) -> Path | None:
    """Everything a recipe asks for, in `out`: one run folder, or one a method. Returns the page's path (first process).

    With `resume`, what is done is kept and what was interrupted goes on. Otherwise `out` must not exist; it is
    made only once the recipe, the data and the split have been found in order.
    """
    recipe = replace(recipe, train=replace(recipe.train, precision=resolve_precision(recipe.train.precision)))
    fabric = make_fabric(recipe.train.precision)
    if recipe.data.store is None and fabric.is_global_zero:
        embedded_store()
    fabric.barrier()
    methods = (recipe.method,) if isinstance(recipe.method, str) else recipe.method
    folders = [out] if isinstance(recipe.method, str) else [out / method for method in methods]
    for method, folder in zip(methods, folders, strict=True):
        experiment = _open(replace(recipe, method=method), folder, str(fabric.device))
        if fabric.is_global_zero:
            _prepare(experiment, folder, out, resume)
        fabric.barrier()
        train_run(experiment, fabric, folder)
        if fabric.is_global_zero:
            _evaluate(experiment, folder)
        fabric.barrier()
    return write_report(folders, out) if fabric.is_global_zero else None


def _open(recipe: Recipe, folder: Path, device: str) -> Experiment:
    own_split = folder / "split.json"
    return open_experiment(recipe, split=own_split if own_split.exists() else None, device=device)


def _prepare(experiment: Experiment, folder: Path, out: Path, resume: bool) -> None:
    """Write down how the run is born; where it was born before, hold it to that."""
    recorded = folder / "recipe.yaml"
    if recorded.exists():
        changed = differing_keys(read_recipe(recorded), experiment.recipe)
        if changed:
            raise UserError(
                f"{recorded}: {', '.join(changed)} differs from what is asked for now; resume with the same "
                "recipe and overrides, or start anew in another folder"
            )
        return
    folder.mkdir(parents=True, exist_ok=resume or folder != out)
    write_split(experiment.split, folder / "split.json")
    write_recipe(experiment.recipe, recorded)


def _evaluate(experiment: Experiment, folder: Path) -> None:
    result = folder / "result.json"
    if result.exists():
        say(f"{result} is there already; kept")
        return
    f = load(folder, device=experiment.projector.device)
    evaluate_run(f, experiment, folder / "split.json", result)

"""Evaluate a run on slices nobody selected on: result.json, and example slices beside it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ctrobust.core.files import replacing, sha256_of
from ctrobust.core.progress import say
from ctrobust.core.provenance import provenance
from ctrobust.core.statistics import why_no_interval
from ctrobust.evaluate.anatomy import anatomy_rows
from ctrobust.evaluate.budgets import ascent_of, description, radii_of, shown_radius, with_noise_shares
from ctrobust.evaluate.competence import attack_checks, competent, outdone
from ctrobust.evaluate.controls import Control, control_names, reference, tuned
from ctrobust.evaluate.curve import RANDOM_DRAWS
from ctrobust.evaluate.examinations import PHOTONS, Case, examine, structures
from ctrobust.evaluate.examples import draw
from ctrobust.evaluate.judging import Findings, Trial, summary
from ctrobust.evaluate.metrics import SSIM_WINDOW
from ctrobust.evaluate.resuming import Kept, anew, forget, part_path
from ctrobust.evaluate.selection import evenly, parts, spread_over_patients
from ctrobust.evaluate.sharing import share_out
from ctrobust.evaluate.strength import Check
from ctrobust.evaluate.suite import opponents, oppose
from ctrobust.experiment import Experiment
from ctrobust.networks.checkpoint import weights_sha256
from ctrobust.operators import Projector
from ctrobust.operators.dense import DenseOperator
from ctrobust.reconstruct import LearnedReconstructor
from ctrobust.reconstruct.learned import Operator
from ctrobust.threat import ProjectedGradientAscent
from ctrobust.threat.ascent import Reconstructor, evaluating, exact_arithmetic

if TYPE_CHECKING:
    from lightning_fabric import Fabric

SLICES_CHECKED = 4
# An attack on TV takes hundreds of times that on f.
SLICES_CHECKED_OF_CONTROLS = 2


def evaluate_run(
    f: Reconstructor,
    experiment: Experiment,
    split_file: Path,
    *,
    run: Path | None = None,
    method: str | None = None,
    out: Path | None = None,
    fabric: "Fabric | None" = None,
    rebuild: Callable[[Operator], Reconstructor] | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Attack f, and the controls beside it, on the evaluation part; returns what result.json holds, and the examples'
    arrays.

    f: the run's, or any y ↦ x̂ under the name `method`; a module is held in eval mode meanwhile.
    run: where the trained G lies, by default beside the split.
    out: where the result will be; beside it every piece of work is kept until then, so that an evaluation that was
    interrupted goes on where it stopped (the f of a run; what else a callable depends on is not known).
    rebuild: makes a callable anew for another scan, to be examined with more views.
    Radius 0 is always among the recipe's. With a fabric the batches are shared out over its processes; each returns
    the whole result, which is the same for any number of them.
    """
    recipe = experiment.recipe
    chosen = spread_over_patients(experiment.split.eval, experiment.store.patients, recipe.evaluate.slices)
    eps, method = shown_radius(recipe), method or str(recipe.method)
    attack = ascent_of(recipe)
    shown = attack.with_eps(eps)
    others = opponents(f, experiment, shown, run or split_file.parent)
    with evaluating(f), exact_arithmetic():
        direct = reference(experiment.projector, recipe.scan.window)
        names = control_names(recipe.evaluate.controls, experiment.projector)
        controls: dict[str, Control] = {name: tuned(name, experiment) for name in names}
        trial = _trial(f, direct, controls, experiment, chosen)
        birth = provenance(
            seed=recipe.seed, device=str(experiment.projector.device), threads=torch.get_num_threads()
        )
        kept = _kept(trial, birth, out)
        judge, keep = (trial, anew) if kept is None else (partial(kept, trial), kept.plain)
        batches = parts(chosen, recipe.evaluate.batch_size)
        found = share_out([partial(judge, part) for part in batches], f"attack {method}", fabric)
        worst, again = trial.worst(batches, found)
        worst += share_out(again, f"attack {method} on its worst slices", fabric) if again else []
        rows = oppose(others, chosen, fabric, keep)
        few = experiment.pair(evenly(chosen, SLICES_CHECKED))
        fewer = experiment.pair(evenly(chosen, SLICES_CHECKED_OF_CONTROLS))
        A = _operator(f, experiment)
        largest = attack.budget.eps

        def checked(name: str) -> dict[str, Check]:
            operator, (y, x) = (A, few) if name == "f" else (experiment.projector, fewer)
            arm = trial.arms[name]
            return attack_checks(arm, operator, y, x, shown, fabric, largest=largest, name=name, keep=keep)

        checks = {name: checked(name) for name in trial.arms}
        photons, nodules = recipe.scan.photons or PHOTONS, structures(recipe.evaluate.nodules)
        case = Case(f, A, *few, shown, photons, recipe.seed, nodules, rebuild)
        examined = examine(recipe.evaluate.examinations, case, fabric, keep)
        in_advance = [batch.shown.only(trial.shown) for batch in found]
        examples = draw(f, direct, experiment, in_advance, eps, worst)
    owners = [experiment.store.patients[index] for index in chosen]

    def judged(arm: str) -> dict[str, Any]:
        arm = arm if arm in trial.arms else "reference"
        whole = summary([batch.arms[arm] for batch in found], chosen, owners, in_hu=experiment.in_hu)
        whole |= {"curve": with_noise_shares(whole["curve"], attack.budget, few[0])}
        own = checks[arm] | (outdone(rows, whole["curve"]) if arm == "f" else {})
        return whole | {"attack": {"competent": competent(own), "checks": own}}

    learned = judged("f")
    result = {
        "schema": 1,
        "method": method,
        **_weights(f),
        **learned,
        "reference": {"method": direct.method, **direct.settings, **judged("reference")},
        "controls": {
            name: judged(name) | {"settings": control.settings} for name, control in controls.items()
        },
        "adversaries": rows,
        "examinations": examined,
        "anatomy": _anatomy(found, owners) if experiment.in_hu else [],
        "attack": _attack_settings(attack, experiment, A) | learned["attack"],
        "metrics": _metrics(experiment, owners),
        "data": _data(experiment, split_file, chosen),
        "provenance": birth,
    }
    return result, examples


def write_evaluation(result: dict[str, Any], examples: dict[str, Any], out: Path) -> None:
    """Write `out` (JSON) and the examples beside it, as `examples_path(out)`."""
    with replacing(examples_path(out)) as part_file, part_file.open("wb") as stream:
        np.savez_compressed(stream, **examples)
    with replacing(out) as part_file:
        part_file.write_text(json.dumps(result, indent=1) + "\n")
    forget(out)


def set_aside(result: Path) -> None:
    """Keep what an earlier evaluation found: result.json becomes result-1.json, and so on."""
    if not result.exists():
        return
    number = 1
    while (kept := result.with_name(f"{result.stem}-{number}.json")).exists():
        number += 1
    for old, new in ((result, kept), (examples_path(result), examples_path(kept))):
        if old.exists():
            old.rename(new)
    say(f"the earlier result is kept as {kept}")


def examples_path(result: Path) -> Path:
    """result.json → result.examples.npz"""
    return result.with_suffix(".examples.npz")


def _trial(
    f: Reconstructor,
    reference: Control,
    controls: Mapping[str, Control],
    experiment: Experiment,
    chosen: Sequence[int],
) -> Trial:
    """A control tuned to what the reference is anyway is not attacked twice."""
    settings = experiment.recipe.evaluate
    arms: dict[str, Reconstructor] = {name: arm for name, arm in controls.items() if arm != reference}
    return Trial(
        {"f": f, "reference": reference, **arms},
        experiment,
        radii_of(experiment.recipe),
        ascent_of(experiment.recipe),
        shown=frozenset(evenly(chosen, settings.examples)),
        shown_eps=shown_radius(experiment.recipe),
    )


def _operator(f: Reconstructor, experiment: Experiment) -> Any:
    """What the gradients go through: f's own where it is one of ours."""
    own = getattr(f, "projector", None)
    return own if isinstance(own, Projector | DenseOperator) else experiment.projector


def _anatomy(found: Sequence[Findings], owners: Sequence[str]) -> list[dict[str, Any]]:
    clean, attacked = ([getattr(batch.anatomy, when) for batch in found] for when in ("clean", "attacked"))
    return anatomy_rows(clean, attacked, owners)


def _metrics(experiment: Experiment, owners: Sequence[str]) -> dict[str, str]:
    told = {"psnr": "peak 1, per slice, then the mean", "ssim": SSIM_WINDOW}
    if not experiment.in_hu:
        told["rmse_hu"] = "null: pictures in [0, 1] have no HU"
    if reason := why_no_interval(owners):
        told["rho_ci95"] = f"null: {reason}"
    return told


def _kept(trial: Trial, birth: dict[str, Any], out: Path | None) -> Kept | None:
    """What is found is kept where that can be: by weights, arms, data, recipe and birth."""
    f, *others = trial.arms.values()
    if out is None or not isinstance(f, LearnedReconstructor):
        return None
    recipe = asdict(trial.experiment.recipe)
    # Files may have moved: the store's hash tells that it is the same.
    recipe["data"] = {key: value for key, value in recipe["data"].items() if key not in ("store", "split")}
    settings = [(arm.method, arm.settings) for arm in others if isinstance(arm, Control)]
    decides = [weights_sha256(f.network), settings, trial.experiment.store.sha256, recipe, birth]
    return Kept(part_path(out), [*decides, sorted(trial.shown)])


def _data(experiment: Experiment, split_file: Path, chosen: Sequence[int]) -> dict[str, Any]:
    return {
        "store_sha256": experiment.store.sha256,
        "split_sha256": sha256_of(split_file),
        "split_by": experiment.split.by,
        "n_slices": len(chosen),
        "n_patients": len({experiment.store.patients[index] for index in chosen}),
    }


def _weights(f: Reconstructor) -> dict[str, str]:
    """Of what is trained; a function may hold none, and says nothing of them."""
    network = getattr(f, "network", f)
    return {"weights_sha256": weights_sha256(network)} if isinstance(network, nn.Module) else {}


def _attack_settings(attack: ProjectedGradientAscent, experiment: Experiment, A: Any) -> dict[str, Any]:
    return {
        "name": "projected gradient ascent",
        **description(experiment.recipe),
        "steps": attack.steps,
        "restarts": attack.restarts,
        "step": attack.step,
        "seed": attack.seed,
        "random_draws": RANDOM_DRAWS,
        "precision": experiment.recipe.evaluate.precision,
        "backend": A.backend,
        "matched": A.matched,
        "allow_unmatched": attack.allow_unmatched,
    }

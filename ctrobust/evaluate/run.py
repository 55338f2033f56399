"""Evaluate a run on slices nobody selected on: result.json, and example slices beside it."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ctrobust.core.files import replacing, sha256_of
from ctrobust.core.progress import say
from ctrobust.core.provenance import provenance
from ctrobust.evaluate.competence import attack_checks
from ctrobust.evaluate.curve import RANDOM_DRAWS
from ctrobust.evaluate.examples import draw
from ctrobust.evaluate.judging import Trial, summary
from ctrobust.evaluate.metrics import SSIM_WINDOW
from ctrobust.evaluate.selection import evenly, spread_over_patients
from ctrobust.evaluate.sharing import share_out
from ctrobust.experiment import Experiment
from ctrobust.networks.checkpoint import weights_sha256
from ctrobust.reconstruct import LearnedReconstructor
from ctrobust.threat import L2Ball, ProjectedGradientAscent
from ctrobust.threat.ascent import exact_arithmetic

if TYPE_CHECKING:
    from lightning_fabric import Fabric

SLICES_CHECKED = 4


def evaluate_run(
    f: LearnedReconstructor,
    experiment: Experiment,
    split_file: Path,
    *,
    fabric: "Fabric | None" = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Attack f, and FBP beside it, on the evaluation part; returns what result.json holds, and the examples' arrays.

    Radius 0 is always among the recipe's. With a fabric the batches are shared out over its processes; each returns
    the whole result, which is the same for any number of them.
    """
    recipe, patients = experiment.recipe, experiment.store.patients
    chosen = spread_over_patients(experiment.split.eval, patients, recipe.evaluate.slices)
    trial = _trial(f, experiment, chosen)
    size = recipe.evaluate.batch_size
    work = [partial(trial, chosen[first : first + size]) for first in range(0, len(chosen), size)]
    with exact_arithmetic():
        found = share_out(work, f"attack {recipe.method}", fabric)
        few = experiment.pair(evenly(chosen, SLICES_CHECKED))
        checks = attack_checks(f, f.projector, *few, trial.attack.with_eps(trial.shown_eps), fabric)
        examples = draw(f, experiment, [batch.shown for batch in found], trial.shown_eps)
    judged_patients = [patients[index] for index in chosen]
    reference = summary([batch.reference for batch in found], judged_patients)
    result = {
        "schema": 1,
        "method": recipe.method,
        "weights_sha256": weights_sha256(f.network),
        **summary([batch.learned for batch in found], judged_patients),
        "reference": {"method": "fbp", "window": f.window, **reference},
        "attack": _attack_settings(trial.attack, f) | {"checks": checks},
        "metrics": {"psnr": "peak 1, per slice, then the mean", "ssim": SSIM_WINDOW},
        "data": {
            "store_sha256": experiment.store.sha256,
            "split_sha256": sha256_of(split_file),
            "split_by": experiment.split.by,
            "n_slices": len(chosen),
            "n_patients": len(set(judged_patients)),
        },
        "provenance": provenance(
            seed=recipe.seed, device=str(f.projector.device), threads=torch.get_num_threads()
        ),
    }
    return result, examples


def write_evaluation(result: dict[str, Any], examples: dict[str, Any], out: Path) -> None:
    """Write `out` (JSON) and the examples beside it, as `examples_path(out)`."""
    with replacing(examples_path(out)) as part_file, part_file.open("wb") as stream:
        np.savez_compressed(stream, **examples)
    with replacing(out) as part_file:
        part_file.write_text(json.dumps(result, indent=1) + "\n")


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


def _trial(f: LearnedReconstructor, experiment: Experiment, chosen: Sequence[int]) -> Trial:
    recipe, settings = experiment.recipe, experiment.recipe.evaluate
    radii = sorted({0.0, *settings.eps})
    attack = ProjectedGradientAscent(
        L2Ball(radii[-1]),
        steps=settings.steps,
        restarts=settings.restarts,
        seed=recipe.seed,
        allow_unmatched=settings.allow_unmatched,
    )
    return Trial(
        f,
        experiment,
        radii,
        attack,
        shown=frozenset(evenly(chosen, settings.examples)),
        shown_eps=min(radii, key=lambda radius: abs(radius - recipe.threat.eps)),
    )


def _attack_settings(attack: ProjectedGradientAscent, f: LearnedReconstructor) -> dict[str, Any]:
    return {
        "name": "projected gradient ascent",
        "ball": "L2, relative to each slice's sinogram",
        "steps": attack.steps,
        "restarts": attack.restarts,
        "step": attack.step,
        "seed": attack.seed,
        "random_draws": RANDOM_DRAWS,
        "precision": "fp32",
        "backend": f.projector.backend,
        "matched": f.projector.matched,
        "allow_unmatched": attack.allow_unmatched,
    }

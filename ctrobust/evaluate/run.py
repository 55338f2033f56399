"""Evaluate a run on slices nobody selected on: result.json, and example slices beside it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ctrobust.core.errors import UserError
from ctrobust.core.files import replacing, sha256_of
from ctrobust.core.progress import Progress, say
from ctrobust.core.provenance import provenance
from ctrobust.evaluate.competence import attack_checks
from ctrobust.evaluate.curve import RANDOM_DRAWS, Found, curve_rows, sweep
from ctrobust.evaluate.examples import Gallery
from ctrobust.evaluate.metrics import SSIM_WINDOW, image_quality
from ctrobust.evaluate.selection import evenly, spread_over_patients
from ctrobust.experiment import Experiment
from ctrobust.networks.checkpoint import weights_sha256
from ctrobust.reconstruct import FilteredBackProjection, LearnedReconstructor
from ctrobust.threat import L2Ball, ProjectedGradientAscent
from ctrobust.threat.ascent import Reconstructor, exact_arithmetic

SLICES_CHECKED = 4


def evaluate_run(
    f: LearnedReconstructor,
    experiment: Experiment,
    split_file: Path,
    *,
    eps: Sequence[float] | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Attack f, and FBP beside it, on the evaluation part; returns what result.json holds, and the examples' arrays.

    eps: radii to use instead of the recipe's; 0 is always among them.
    """
    recipe, patients = experiment.recipe, experiment.store.patients
    settings = recipe.evaluate
    radii = sorted({0.0, *(settings.eps if eps is None else eps)})
    shown_eps = min(radii, key=lambda radius: abs(radius - recipe.threat.eps))
    chosen = spread_over_patients(experiment.split.eval, patients, settings.slices)
    attack = ProjectedGradientAscent(
        L2Ball(radii[-1]),
        steps=settings.steps,
        restarts=settings.restarts,
        seed=recipe.seed,
        allow_unmatched=settings.allow_unmatched,
    )
    gallery = Gallery(f, evenly(chosen, settings.examples), shown_eps)
    learned, fbp = Judged(f), Judged(FilteredBackProjection(f.projector, f.window))
    parts = [chosen[i : i + settings.batch_size] for i in range(0, len(chosen), settings.batch_size)]
    with exact_arithmetic():
        for part in Progress(parts, f"attack {recipe.method}", total=len(parts)):
            y, x = experiment.pair(part)
            fbp.attack(y, x, radii, attack)
            at_radius = {found.eps: found for found in learned.attack(y, x, radii, attack)}
            gallery.add(part, y, x, at_radius[shown_eps].delta)
        few = experiment.pair(evenly(chosen, SLICES_CHECKED))
        checks = attack_checks(f, f.projector, *few, attack.with_eps(shown_eps))
    judged_patients = [patients[index] for index in chosen]
    result = {
        "schema": 1,
        "method": recipe.method,
        "weights_sha256": weights_sha256(f.network),
        **learned.summary(judged_patients),
        "reference": {"method": "fbp", "window": f.window, **fbp.summary(judged_patients)},
        "attack": _attack_settings(attack, f) | {"checks": checks},
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
    return result, gallery.arrays(experiment)


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


class Judged:
    """One reconstructor, and what is kept of it while batches pass."""

    def __init__(self, f: Reconstructor) -> None:
        self._f = f
        self._images: list[tuple[Any, Any]] = []
        self._found: list[list[Found]] = []

    def attack(
        self, y: Tensor, x: Tensor, radii: Sequence[float], attack: ProjectedGradientAscent
    ) -> list[Found]:
        """Sweep one batch; the perturbations are returned but not kept."""
        with torch.no_grad():
            self._images += zip(self._f(y)[:, 0].cpu().numpy(), x[:, 0].cpu().numpy(), strict=True)
        found = sweep(self._f, y, x, radii, attack)
        if not all(np.isfinite(each.error).all() for each in found):
            raise UserError(
                "the reconstructor gives values that are not finite under attack: nothing can be measured"
            )
        self._found.append([replace(each, delta=each.delta[:0]) for each in found])
        return found

    def summary(self, patients: Sequence[str]) -> dict[str, Any]:
        """Clean quality and the curve over all batches so far; `patients` in their order."""
        clean = image_quality(self._images)
        return {"clean": clean, "curve": curve_rows(self._found, self._images[0][0].size, patients)}


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

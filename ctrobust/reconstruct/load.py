"""From a run folder back to f."""

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ctrobust.core.errors import UserError
from ctrobust.core.geometry import ParallelBeam
from ctrobust.networks import FBPConvNet
from ctrobust.networks.checkpoint import load_checkpoint
from ctrobust.operators import Projector
from ctrobust.recipes import Recipe, read_recipe
from ctrobust.reconstruct.learned import LearnedReconstructor


def load(
    run: str | Path, *, checkpoint: str = "best", device: str | torch.device = "cpu"
) -> LearnedReconstructor:
    """f of a trained run, in eval mode with its weights held: f(y), f.projector.

    checkpoint: best (on the validation part) or last. Raises UserError on a folder that is not a run, or that
    holds several.
    """
    folder = run_folder(run)
    recipe = read_recipe(folder / "recipe.yaml")
    content = load_checkpoint(folder / "checkpoints" / checkpoint)
    physics = physics_of(recipe)
    edited = [key for key, value in content.get("physics", physics).items() if physics.get(key) != value]
    if edited:
        raise UserError(
            f"{folder / 'recipe.yaml'}: {', '.join(edited)} differs from what was trained; undo the edit"
        )
    f = LearnedReconstructor(build_projector(recipe, device), build_network(recipe), recipe.scan.window)
    try:
        f.network.load_state_dict(content["network"])
    except (KeyError, RuntimeError):
        raise UserError(
            f"{folder}: checkpoints/{checkpoint} does not fit recipe.yaml; was it edited?"
        ) from None
    return f.to(device).eval().requires_grad_(False)


def run_folder(path: str | Path) -> Path:
    """The path of one run. Raises UserError where there is none, or several."""
    folder = Path(path)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give the folder of a run")
    if (folder / "recipe.yaml").exists():
        return folder
    runs = sorted(inner.parent.name for inner in folder.glob("*/recipe.yaml"))
    if runs:
        raise UserError(
            f"{folder}: holds several runs; give one of {', '.join(str(folder / run) for run in runs)}"
        )
    raise UserError(f"{folder}: not a run (no recipe.yaml); give the folder that ctrobust-train wrote")


def physics_of(recipe: Recipe) -> dict[str, Any]:
    """The sections that make f what it is, as plain values: kept in a checkpoint, held against recipe.yaml."""
    return {
        "data.size": recipe.data.size,
        "scan": dataclasses.asdict(recipe.scan),
        "network": dataclasses.asdict(recipe.network),
    }


def build_projector(recipe: Recipe, device: str | torch.device) -> Projector:
    """A of a resolved recipe."""
    if recipe.scan.pixel_mm is None:
        raise UserError("scan.pixel_mm is null: the recipe of a run has it resolved; was recipe.yaml edited?")
    return Projector(
        ParallelBeam(recipe.data.size, recipe.scan.views, pixel_mm=recipe.scan.pixel_mm), device=device
    )


def build_network(recipe: Recipe) -> nn.Module:
    return FBPConvNet(recipe.network.base_channels, recipe.network.levels)

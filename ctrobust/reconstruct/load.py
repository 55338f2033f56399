"""From a run folder back to f."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ctrobust.core.errors import UserError
from ctrobust.core.geometry import FanBeam, Geometry, ParallelBeam
from ctrobust.core.parcel import WEIGHTS, is_parcel, require_sealed, unpacked
from ctrobust.networks import FBPConvNet, MeasurementPerturber, SinogramPerturber
from ctrobust.networks.checkpoint import load_checkpoint
from ctrobust.networks.perturber import PerturberPerGroup
from ctrobust.networks.weights import load_weights
from ctrobust.operators import Projector, sensing
from ctrobust.operators.dense import DenseOperator
from ctrobust.recipes import Recipe, read_recipe
from ctrobust.reconstruct.learned import LearnedReconstructor, Operator


def load(
    run: str | Path, *, checkpoint: str = "best", device: str | torch.device = "cpu"
) -> LearnedReconstructor:
    """f of a trained run, in eval mode with its weights held: f(y), f.projector.

    run: its folder, or what `ctrobust export` made of it, a folder or a .zip. checkpoint: best (on the validation
    part) or last. Raises UserError on a folder that is not a run, or that holds several, and where weights that were
    handed over have changed since.
    """
    with unpacked(Path(run)) as given:
        folder = run_folder(given)
        content = _content(folder, checkpoint)
        recipe = read_recipe(folder / "recipe.yaml")
    # A checkpoint of an older version does not know the keys that came after it: their defaults are what it did.
    trained, physics = content.get("physics", {}), physics_of(recipe)
    edited = [key for key, value in _flat(trained).items() if _flat(physics).get(key) != value]
    if edited:
        raise UserError(
            f"{folder / 'recipe.yaml'}: {', '.join(edited)} differs from what was trained; undo the edit"
        )
    f = build_reconstructor(recipe, build_projector(recipe, device))
    try:
        f.network.load_state_dict(content["network"])
    except (KeyError, RuntimeError):
        raise UserError(
            f"{folder}: checkpoints/{checkpoint} does not fit recipe.yaml; was it edited?"
        ) from None
    return f.to(device).eval().requires_grad_(False)


def _content(folder: Path, checkpoint: str) -> dict[str, Any]:
    if not is_parcel(folder):
        return load_checkpoint(folder / "checkpoints" / checkpoint)
    if checkpoint != "best":
        raise UserError(f"{folder}: was handed over with its best weights alone; it has no {checkpoint!r}")
    require_sealed(folder)
    return load_weights(folder / WEIGHTS)


def run_folder(path: str | Path) -> Path:
    """The path of one run. Raises UserError where there is none, or several."""
    folder = Path(path)
    if folder.suffix == ".zip" and folder.is_file():
        raise UserError(f"{folder}: a .zip; unpack it and give the folder")
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
    scan = dataclasses.asdict(recipe.scan)
    del scan["backend"]  # how A is computed, not what it is
    physics = {"data.size": recipe.data.size, "scan": scan, "network": dataclasses.asdict(recipe.network)}
    # A matrix is drawn by the run's seed; a scanner is the same for all.
    return physics | {
        "data.pictures": recipe.data.pictures,
        "seed": recipe.seed if recipe.scan.dense else None,
    }


def _flat(sections: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, section in sections.items():
        flat |= (
            {f"{name}.{key}": value for key, value in section.items()}
            if isinstance(section, dict)
            else {name: section}
        )
    return flat


def build_reconstructor(recipe: Recipe, A: Operator) -> LearnedReconstructor:
    """f of a recipe with fresh weights."""
    return LearnedReconstructor(A, build_network(recipe), recipe.scan.window, recipe.scan.start)


def build_projector(recipe: Recipe, device: str | torch.device) -> Operator:
    """A of a resolved recipe. Raises UserError on a scan that no scanner does or no back-end computes."""
    if recipe.scan.dense:
        try:
            return build_matrix(recipe, device)
        except ValueError as error:
            raise UserError(f"scan.geometry {recipe.scan.geometry}: {error}") from None
    if recipe.scan.pixel_mm is None:
        raise UserError("scan.pixel_mm is null: the recipe of a run has it resolved; was recipe.yaml edited?")
    try:
        return Projector(build_geometry(recipe), recipe.scan.backend, device)
    except (ImportError, ValueError) as error:
        raise UserError(f"scan: {error}") from None


def build_matrix(recipe: Recipe, device: str | torch.device) -> DenseOperator:
    """The measurement matrix of a recipe, drawn by its seed. Raises ValueError on one that cannot be."""
    scan, size, seed = recipe.scan, recipe.data.size, recipe.seed
    m = scan.measurements
    if scan.geometry == "gaussian":
        return sensing.gaussian(m, size, seed, device=device)
    if scan.geometry == "dct":
        return sensing.dct(m, size, device=device)
    if scan.geometry == "dct-submatrix":
        transform = scan.transform_size or 2 * size**2
        return sensing.dct_submatrix(m, size, transform, seed=seed, device=device)
    return sensing.prescribed_spectrum(np.geomspace(1, 1 / scan.condition, m), size, seed, device=device)


def build_geometry(recipe: Recipe) -> Geometry:
    scan, size = recipe.scan, recipe.data.size
    pixel_mm = 1.0 if scan.pixel_mm is None else scan.pixel_mm
    if scan.geometry == "parallel":
        return ParallelBeam(size, scan.views, pixel_mm=pixel_mm)
    build = FanBeam if scan.arc == "full" else FanBeam.short_scan
    return build(
        size,
        scan.views,
        pixel_mm=pixel_mm,
        source_to_iso_mm=scan.source_to_iso_mm,
        iso_to_detector_mm=scan.iso_to_detector_mm,
    )


def build_network(recipe: Recipe) -> nn.Module:
    network = recipe.network
    return FBPConvNet(network.base_channels, network.levels, network.norm, channels=recipe.data.channels)


def build_perturber(recipe: Recipe) -> nn.Module:
    """G as a recipe has it, with fresh weights."""
    parts = [_build_perturber(recipe) for _ in range(recipe.threat.groups)]
    return parts[0] if len(parts) == 1 else PerturberPerGroup(parts)


def _build_perturber(recipe: Recipe) -> SinogramPerturber | MeasurementPerturber:
    threat = recipe.threat
    scale, hints = threat.eps if threat.relative else 0.02, int(threat.sees != "sinogram")
    if not recipe.scan.dense:
        return SinogramPerturber(threat.base_channels, threat.levels, scale=scale, hints=hints)
    numbers, width = recipe.data.channels * recipe.scan.measurements, 32 * threat.base_channels
    return MeasurementPerturber(numbers, width, threat.levels, scale=scale, hints=hints)

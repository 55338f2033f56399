"""The other adversaries: each by its name, at the one radius that is shown, beside the ascent that makes the curve."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ctrobust.core.errors import UserError
from ctrobust.evaluate.budgets import shown_radius
from ctrobust.evaluate.curve import rho_fields
from ctrobust.evaluate.resuming import Keep, anew
from ctrobust.evaluate.selection import parts
from ctrobust.evaluate.sharing import share_out
from ctrobust.experiment import Experiment
from ctrobust.networks.checkpoint import load_checkpoint, weights_sha256
from ctrobust.operators import Projector
from ctrobust.operators.dense import DenseOperator
from ctrobust.reconstruct import LearnedReconstructor, load
from ctrobust.reconstruct.learned import Operator
from ctrobust.reconstruct.load import build_perturber
from ctrobust.threat import ADVERSARIES, Adversary, ProjectedGradientAscent, WorstOf
from ctrobust.threat.ascent import Reconstructor, evaluating, exact_arithmetic, squared_error
from ctrobust.threat.budget import relative_norms
from ctrobust.threat.confined import detector_range
from ctrobust.threat.faults import DeadChannels, ScannerFault
from ctrobust.threat.generator import trained

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Harm(NamedTuple):
    """Of one batch, (B,) each: ‖f(y + δ) − x‖², and ‖δ‖/‖y‖; of a scanner fault the settings found, a list a slice."""

    errors: list[float]
    sizes: list[float]
    settings: list[list[float]] | None


@dataclass(frozen=True)
class Opponent:
    """An adversary against f, with what a result tells of it beyond its settings."""

    name: str
    adversary: Adversary
    f: Reconstructor
    experiment: Experiment
    about: Mapping[str, Any]

    @property
    def settings(self) -> dict[str, Any]:
        """What result.json tells of it."""
        return plain_settings(self.adversary) | dict(self.about)

    def __call__(self, indices: Sequence[int]) -> Harm:
        """One batch, by its slices in the store; a universal perturbation is found for the whole of it."""
        y, x = self.experiment.pair(indices)
        if isinstance(self.adversary, ScannerFault | DeadChannels):
            delta, settings = self.adversary.find(self.f, y, x)
        else:
            delta, settings = self.adversary(self.f, y, x), None
        size = self.experiment.recipe.evaluate.batch_size
        with evaluating(self.f), exact_arithmetic(), torch.no_grad():
            pairs = zip(torch.split(y + delta, size), torch.split(x, size), strict=True)
            errors = torch.cat([squared_error(self.f, *pair) for pair in pairs])
        return Harm(errors.double().tolist(), relative_norms(delta, y).tolist(), self._told(settings))

    def _told(self, settings: Tensor | None) -> list[list[float]] | None:
        """The settings of each slice, in the fault's unit; of dead channels the bins."""
        if settings is None:
            return None
        if isinstance(self.adversary, DeadChannels):
            return [slice_.nonzero().flatten().tolist() for slice_ in settings]
        # Back to the decimals of the grid, which float32 had rounded.
        return [[float(f"{setting:.6g}") for setting in slice_] for slice_ in settings.tolist()]

    def pieces(self, chosen: Sequence[int]) -> list[Sequence[int]]:
        """What it works on: batches, or for the universal one all slices at once."""
        whole = self.name == "universal"
        return parts(chosen, len(chosen) if whole else self.experiment.recipe.evaluate.batch_size)

    def row(self, found: Sequence[Harm], patients: Sequence[str]) -> dict[str, Any]:
        """What result.json holds; a scanner fault is held by the box in its settings, has no budget and eps, and tells
        what it `found`: of every slice its one setting, or one a view or bin."""
        errors = np.concatenate([each.errors for each in found])
        recipe, held = self.experiment.recipe, not isinstance(self.adversary, ScannerFault | DeadChannels)
        row = {
            "name": self.name,
            "budget": recipe.evaluate.budget if held else "box",
            "eps": shown_radius(recipe) if held else None,
            **rho_fields(errors, patients),
            "size": float(np.concatenate([each.sizes for each in found]).mean()),
            "settings": self.settings,
            "worst": errors.tolist(),
        }
        return row if held else row | {"found": [one for each in found for one in each.settings or ()]}


def oppose(
    others: Sequence[Opponent], chosen: Sequence[int], fabric: "Fabric | None" = None, keep: Keep = anew
) -> list[dict[str, Any]]:
    """Their rows; the pieces of all are shared out together."""
    if not others:
        return []
    work = [(other, piece) for other in others for piece in other.pieces(chosen)]
    pieces = [
        partial(keep, partial(other, piece), [other.name, other.settings, list(piece)])
        for other, piece in work
    ]
    found = [Harm(*harm) for harm in share_out(pieces, "other adversaries", fabric)]
    patients = [others[0].experiment.store.patients[index] for index in chosen]
    return [
        other.row([harm for (owner, _), harm in zip(work, found, strict=True) if owner is other], patients)
        for other in others
    ]


def opponents(
    f: Reconstructor, experiment: Experiment, attack: ProjectedGradientAscent, run: Path
) -> list[Opponent]:
    """The recipe's, in its order, in the budget of `attack`. run: the folder whose trained G is the generator.

    Raises UserError on a generator where the run has no G, and on a surrogate that takes other sinograms.
    """
    return [_opponent(name, f, experiment, attack, run) for name in experiment.recipe.evaluate.adversaries]


def _opponent(
    name: str, f: Reconstructor, experiment: Experiment, attack: ProjectedGradientAscent, run: Path
) -> Opponent:
    A, about, needs = experiment.projector, dict[str, Any](), dict[str, Any]()
    if name == "generator":
        adversary = _generator(experiment, attack, run)
        return Opponent(name, adversary, f, experiment, {"training": experiment.recipe.method})
    if name == "transfer":
        surrogate = _surrogate(experiment)
        needs["surrogate"] = surrogate
        about["surrogate_weights_sha256"] = weights_sha256(surrogate.network)
    elif name == "local":
        needs["onto"] = detector_range(A.sinogram_shape[1])
        about["detector"] = "middle quarter"
    elif name == "local_image":
        needs["A"] = A
        about["image"] = "middle quarter of the rows and of the columns"
    elif name == "image" or isinstance(ADVERSARIES[name](attack), ScannerFault):
        needs["A"] = A
    return Opponent(name, ADVERSARIES[name](attack, **needs), f, experiment, about)


def _generator(experiment: Experiment, attack: ProjectedGradientAscent, run: Path) -> Adversary:
    path = run / "checkpoints" / "best"
    if not path.exists():
        raise UserError(
            f"{path}: missing, and with it the trained G; leave generator out of evaluate.adversaries"
        )
    threat = experiment.recipe.threat
    G = build_perturber(experiment.recipe).to(experiment.projector.device).eval()
    return trained(
        G,
        load_checkpoint(path).get("adversary", {}),
        attack.budget,
        sees=threat.sees,
        applications=threat.applications,
    )


def _surrogate(experiment: Experiment) -> LearnedReconstructor:
    source = experiment.recipe.evaluate.transfer_from
    assert source is not None, "the schema asks for it"
    surrogate = load(source, device=experiment.projector.device)
    if not _same_scan(surrogate.projector, experiment.projector):
        raise UserError(
            f"evaluate.transfer_from {source}: its scan is another than this run's (views, pixel size or detector); "
            "give a run whose scan.* and data.size are the same"
        )
    return surrogate


def _same_scan(one: Operator, other: Operator) -> bool:
    if isinstance(one, DenseOperator):
        return isinstance(other, DenseOperator) and torch.equal(one.matrix, other.matrix)
    return isinstance(other, Projector) and one.geometry == other.geometry


def plain_settings(adversary: object) -> dict[str, Any]:
    """Its numbers and words, and those of what it is made of, but for the budget's, which stand beside it."""
    if isinstance(adversary, WorstOf):
        parts = list(adversary.adversaries.values())
        return plain_settings(parts[0]) | {"worst_of": len(parts)}
    found: dict[str, Any] = {}
    for field in fields(adversary) if is_dataclass(adversary) else ():
        value = getattr(adversary, field.name)
        if isinstance(value, bool | int | float | str):
            found[field.name] = value
        else:
            found |= plain_settings(value)
    return {key: value for key, value in found.items() if key not in ("eps", "relative")}

"""What a curve does not tell of f: the instability tests of Antun et al., texture and sharpness, bounds; on request.

Each is made on the few slices on which the attack is checked, at the radius that is shown; result.json holds its
numbers under its name, with what they were measured on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ctrobust.bounds import bracket
from ctrobust.core.errors import UserError
from ctrobust.core.progress import say
from ctrobust.core.seeds import derive_seed
from ctrobust.evaluate.resuming import Keep, anew
from ctrobust.evaluate.sharing import share_out
from ctrobust.evaluate.texture import EdgeResponse, NoisePower, edge_response, ensemble_noise, noise_power
from ctrobust.instability import (
    Letters,
    Nodule,
    Structure,
    TinyPerturbation,
    more_views,
    place,
    side_by_side,
    small_structure,
)
from ctrobust.instability.views import rebuilt
from ctrobust.operators import Projector
from ctrobust.operators.noise import low_dose
from ctrobust.threat import L2Ball, ProjectedGradientAscent
from ctrobust.threat.ascent import Reconstructor, evaluating, exact_arithmetic
from ctrobust.threat.budget import Lengths, norms

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PHOTONS = 1e5
"""Per ray, where the scan itself is noiseless: observers and noise power need a dose."""
DRAWS = 40
LETTERS: dict[str, Structure] = {"letters of 24 mm, +100 HU": Letters("CT", 24.0, 100.0)}
HIDING = 0.5
EDGE_HU, EDGE_PIXELS = 100.0, 6
VIEWS = (0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True)
class Case:
    """f and what it is examined on: y (B, 1, views, bins) of x (B, 1, H, W), the attack in the budget that is shown.

    structures: by name what is put into the slices. rebuild: makes f anew for another Projector where `rebuilt`
    cannot.
    """

    f: Reconstructor
    A: Projector
    y: Tensor
    x: Tensor
    attack: ProjectedGradientAscent
    photons: float
    seed: int
    structures: Mapping[str, Structure] = field(default_factory=lambda: LETTERS)
    rebuild: Callable[[Projector], Reconstructor] | None = None


def structures(nodules: Sequence[tuple[float, float]]) -> dict[str, Structure]:
    """By name nodules of so many mm and HU each, and letters."""
    spheres: dict[str, Structure] = {f"nodule of {mm:g} mm, {hu:+g} HU": Nodule(mm, hu) for mm, hu in nodules}
    return spheres | LETTERS


def examine(
    names: Sequence[str], case: Case, fabric: "Fabric | None" = None, keep: Keep = anew
) -> dict[str, Any]:
    """{name: what was found}, in their order; {"not_made": reason} where f, budget or x do not allow it.

    With a fabric they are shared out over its processes.
    """
    with exact_arithmetic():
        work = [partial(keep, partial(_made, name, case), ["examination", name]) for name in names]
        found = share_out(work, "examine", fabric)
    return dict(zip(names, found, strict=True))


def _made(name: str, case: Case) -> dict[str, Any]:
    """An evaluation of hours is not lost because a nodule found no room."""
    try:
        return EXAMINATIONS[name](case)
    except (UserError, ValueError) as error:
        say(f"examination {name} was not made: {error}")
        return {"not_made": str(error)}


def _tiny(case: Case) -> dict[str, Any]:
    """Antun et al., test 1: their perturbation of the image, and the worst of the measurement at its size."""
    protocol = TinyPerturbation(seed=case.seed)
    found = protocol(case.f, case.y, case.x, case.A)
    # What shrank to nothing has no direction left to compare with.
    rows = side_by_side(case.f, case.y, case.x, found, case.attack).rows
    return _means(rows) | {"price": protocol.price, "steps": protocol.steps}


def _structures(case: Case) -> dict[str, Any]:
    """Test 2: nodules and letters, clean, hidden and invented, and two observers looking for them.

    δ is held, slice by slice, to half the size of what would take the structure out of the measurement itself: more
    proves nothing of f.
    """
    found = {}
    for name, structure in case.structures.items():
        seed = derive_seed(case.seed, name)
        s, _ = place(structure, case.x, case.A.geometry.pixel_mm, seed)
        attack = replace(case.attack, budget=Lengths(HIDING, lengths=norms(case.A(s))))
        rows = small_structure(
            case.f, case.x, structure, attack, photons=case.photons, draws=DRAWS, seed=seed, A=case.A
        )
        plain = [{key: getattr(value, "d_prime", value) for key, value in row.items()} for row in rows]
        means = _means(plain)
        found[name] = {"eps": HIDING * means["footprint"]} | {
            key: means[key] for key in means if key not in ("row", "column")
        }
    return {"photons": case.photons, "draws": DRAWS, "structures": found}


def _views(case: Case) -> dict[str, Any]:
    """Test 3: fewer and more views than in training."""
    if case.rebuild is None and not hasattr(case.f, "projector"):
        raise UserError("f is of one scan alone, so more views cannot be tried")
    numbers = [round(share * case.A.sinogram_shape[0]) for share in VIEWS]
    rows = more_views(case.f, case.x, numbers, rebuild=partial(_again, case), seed=case.seed, A=case.A)
    return {"rows": [{key: value for key, value in row.items() if key != "errors"} for row in rows]}


def _again(case: Case, f: Reconstructor, A: Projector) -> Reconstructor:
    if case.rebuild is None:
        return rebuilt(f, A)
    try:
        return case.rebuild(A)
    except Exception as error:  # of a function that is not ours, and may know one scan alone
        raise UserError(f"f could not be made for {A.sinogram_shape[0]} views: {error}") from None


def _texture(case: Case) -> dict[str, Any]:
    """Noise power of one slice at a dose, and the response to a disc's edge, clean and under the worst δ."""
    pixel_mm = case.A.geometry.pixel_mm
    disc = Nodule(2 * EDGE_PIXELS * pixel_mm, EDGE_HU)
    generator = torch.Generator().manual_seed(derive_seed(case.seed, "texture"))
    noisy = low_dose(case.y[:1].expand(DRAWS, *case.y.shape[1:]), case.photons, generator)
    delta = case.attack(case.f, case.y, case.x)
    with evaluating(case.f):
        power = noise_power(ensemble_noise(case.f, noisy), pixel_mm)
        with torch.no_grad():
            change = case.f(case.y + delta) - case.f(case.y)
        attacked = noise_power(change, pixel_mm)
        edges = [
            edge_response(case.f, case.A, case.x, disc, pixel_mm, seed=case.seed, delta=shift)
            for shift in (0.0, delta)
        ]
    return {
        "photons": case.photons,
        "draws": DRAWS,
        "eps": case.attack.budget.eps,
        "noise": _spectrum(power),
        "attack": _spectrum(attacked),
        "disc": {"diameter_mm": disc.diameter_mm, "contrast_hu": EDGE_HU},
        "edge": _edge(edges[0]),
        "edge_attacked": _edge(edges[1]),
    }


def _bracket(case: Case) -> dict[str, Any]:
    """The worst case from below and, where that can be had, from above."""
    if not isinstance(case.attack.budget, L2Ball):
        raise UserError("bounds are of the L2 ball; give evaluate.budget=l2")
    rows = [bound.row() for bound in bracket(case.f, case.y, case.x, case.attack.budget, case.attack)]
    return {"eps": case.attack.budget.eps, "rows": rows}


EXAMINATIONS: dict[str, Callable[[Case], dict[str, Any]]] = {
    "tiny": _tiny,
    "structures": _structures,
    "views": _views,
    "texture": _texture,
    "bracket": _bracket,
}
"""The names of `evaluate.examinations`."""


def _means(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    return {key: sum(float(row[key]) for row in rows) / len(rows) for key in rows[0]}


def _spectrum(found: NoisePower) -> dict[str, list[float]]:
    return {"frequency_per_mm": found.frequency_per_mm.tolist(), "power_hu2_mm2": found.power.tolist()}


def _edge(found: EdgeResponse) -> dict[str, Any]:
    return {
        "contrast": found.contrast,
        "mtf50_per_mm": found.mtf50_per_mm,
        "mtf10_per_mm": found.mtf10_per_mm,
        "frequency_per_mm": found.frequency_per_mm.tolist(),
        "mtf": found.mtf.tolist(),
    }

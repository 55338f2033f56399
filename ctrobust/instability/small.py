"""Test 2 as a row a slice: what f makes of a small structure, clean, hidden and invented."""

import math

import torch
from torch import Tensor

from ctrobust.core.seeds import derive_seed
from ctrobust.instability.channels import laguerre_gauss
from ctrobust.instability.contrast import contrast_recovery, footprint, hide, invent
from ctrobust.instability.observers import (
    Detectability,
    hotelling_detectability,
    hotelling_template,
    template_detectability,
)
from ctrobust.instability.places import place
from ctrobust.instability.structures import Structure
from ctrobust.operators import Projector
from ctrobust.operators.noise import low_dose
from ctrobust.threat.ascent import ProjectedGradientAscent, Reconstructor, evaluating, exact_arithmetic
from ctrobust.threat.image_domain import operator_of

Row = dict[str, float | Detectability]
BATCH_SIZE = 16


def small_structure(
    f: Reconstructor,
    x: Tensor,
    structure: Structure,
    attack: ProjectedGradientAscent,
    *,
    photons: float,
    draws: int = 100,
    seed: int = 0,
    within: Tensor | None = None,
    A: Projector | None = None,
) -> list[Row]:
    """A row a slice of x (B, 1, H, W): the structure put in at a place drawn by the seed, and seen by f.

    row, column   its centre, pixels
    footprint     ‖A s‖/‖A(x + s)‖: from eps there on the measurement itself can be robbed of it
    crc           contrast recovered, without noise; crc_hidden, crc_invented: the same of f(A(x + s) + δ) and of
                  f(A x + δ), with the δ that `hide` and `invent` find in attack's budget
    npw           d′ of the non-prewhitening matched filter w = f(A(x + s)) − f(A x), of images with the noise of
                  `photons` per ray, `draws` with and as many without the structure; with its interval
    cho           d′ of the Hotelling observer on six Laguerre–Gauss channels of the structure's area, without bias
    *_hidden      d′ of the same observers, trained on clean images, between x and x + s under attack: a reader does
                  not know of the attack, and one who did could look for δ in place of the structure
    *_invented    the same between x and x under attack: how surely they report what is not there

    δ is found without noise and added to noisy readings. A: f.projector where it is not given.
    """
    A = operator_of(f, A)
    assert A is not None
    pixel_mm = A.geometry.pixel_mm
    s, centres = place(structure, x, pixel_mm, seed, within)
    with torch.no_grad():
        absent, present = A(x), A(x + s)
    deltas = {"hidden": hide(attack, f, present, s), "invented": invent(attack, f, absent, s)}
    with evaluating(f), exact_arithmetic(), torch.no_grad():
        without, shown = f(absent), f(present)
        contrasts = {
            "crc": contrast_recovery(shown - without, s),
            "crc_hidden": contrast_recovery(f(present + deltas["hidden"]) - without, s),
            "crc_invented": contrast_recovery(f(absent + deltas["invented"]) - without, s),
            "footprint": footprint(A, s, present),
        }
    rows: list[Row] = []
    for i, (row, column) in enumerate(centres.tolist()):
        images = {
            name: noisy_ensemble(f, y[i : i + 1], photons, draws, derive_seed(seed, name), delta)
            for name, y, delta in (
                ("absent", absent, None),
                ("present", present, None),
                ("absent again", absent, None),
                ("hidden", present, deltas["hidden"][i : i + 1]),
                ("invented", absent, deltas["invented"][i : i + 1]),
            )
        }
        channels = laguerre_gauss(
            A.image_shape, (row, column), math.sqrt(math.pi) * structure.reach_mm / pixel_mm
        )
        rows.append(
            {"row": row, "column": column}
            | {name: float(values[i]) for name, values in contrasts.items()}
            | _observed(images, (shown - without)[i], channels)
        )
    return rows


def _observed(images: dict[str, Tensor], signal: Tensor, channels: Tensor) -> Row:
    absent, present = images["absent"], images["present"]
    row: Row = {
        "npw": template_detectability(signal, absent, present),
        "cho": hotelling_detectability(channels, absent, present),
    }
    for observer, template in (("npw", signal), ("cho", hotelling_template(channels, absent, present))):
        for name in ("hidden", "invented"):
            row[f"{observer}_{name}"] = template_detectability(template, images["absent again"], images[name])
    return row


def noisy_ensemble(
    f: Reconstructor, y: Tensor, photons: float, draws: int, seed: int, delta: Tensor | None = None
) -> Tensor:
    """(draws, 1, H, W): f of one y (1, 1, views, bins) with as many draws of photon noise, and of δ added to each."""
    generator = torch.Generator().manual_seed(seed)
    noisy = low_dose(y.expand(draws, *y.shape[1:]), photons, generator)
    noisy = noisy if delta is None else noisy + delta
    with evaluating(f), exact_arithmetic(), torch.no_grad():
        return torch.cat([f(some) for some in torch.split(noisy, BATCH_SIZE)])

"""Every adversary by name, each made from an ascent: its budget, steps, restarts and seed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ctrobust.operators import Projector
from ctrobust.threat import faults
from ctrobust.threat.adversary import Adversary
from ctrobust.threat.ascent import ProjectedGradientAscent
from ctrobust.threat.chance import Chance
from ctrobust.threat.confined import Confined, LowPass, Subspace, middle, shadow
from ctrobust.threat.generator import Generator
from ctrobust.threat.image_domain import ImageDomain
from ctrobust.threat.response import Search
from ctrobust.threat.transfer import Transfer
from ctrobust.threat.universal import Universal

Make = Callable[..., Adversary]


def _ascent(rule: str) -> Make:
    return lambda attack: replace(attack, rule=rule)


def _confined(attack: ProjectedGradientAscent, onto: Subspace) -> Adversary:
    return replace(attack, budget=Confined(attack.budget, onto))


def _local_image(
    attack: ProjectedGradientAscent, A: Projector, rows: slice | None = None, columns: slice | None = None
) -> Adversary:
    height, width = A.image_shape
    box = (rows or middle(height), columns or middle(width))
    return _confined(attack, shadow(A.geometry, *box))


def _fault(make: Callable[..., Any]) -> Make:
    def build(attack: ProjectedGradientAscent, **box: Any) -> Adversary:
        search = Search(restarts=attack.restarts, seed=attack.seed, allow_unmatched=attack.allow_unmatched)
        adversary: Adversary = make(search=search, **box)
        return adversary

    return build


ADVERSARIES: dict[str, Make] = {
    "momentum": _ascent("momentum"),
    "plain": _ascent("plain"),
    "halving": _ascent("halving"),
    "adam": _ascent("adam"),
    "sphere": lambda attack: Chance(attack.budget, seed=attack.seed),
    "ball": lambda attack: Chance(attack.budget, inside=True, seed=attack.seed),
    "universal": Universal,
    "transfer": Transfer,
    "low_frequency": lambda attack, cutoff=0.25: _confined(attack, LowPass(cutoff)),
    "local": _confined,
    "local_image": _local_image,
    "image": ImageDomain,
    "generator": lambda attack, G, **about: Generator(attack.budget, G, seed=attack.seed, **about),
    "angle_jitter": _fault(faults.angle_jitter),
    "centre_shift": _fault(faults.centre_shift),
    "pixel_size": _fault(faults.pixel_size),
    "gain_drift": _fault(faults.gain_drift),
    "intensity_drift": _fault(faults.intensity_drift),
    "ring": _fault(faults.ring),
    "dead_channels": _fault(faults.DeadChannels),
}
"""name ↦ adversary = ADVERSARIES[name](attack, …): `transfer` needs the surrogate, `local` the readings
(`confined.detector_range`), `local_image` A, and rows and columns of the image (by default the middle quarter of
each), `generator` a G; faults take their box and leave the attack's budget."""

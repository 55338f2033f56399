"""The instability tests of Antun et al. (PNAS 2020) for any f: tiny perturbations, small structures, more views."""

from ctrobust.instability.channels import laguerre_gauss
from ctrobust.instability.contrast import contrast_recovery, footprint, hide, invent
from ctrobust.instability.observers import (
    Detectability,
    hotelling_detectability,
    hotelling_template,
    template_detectability,
)
from ctrobust.instability.places import body_mask, place
from ctrobust.instability.small import noisy_ensemble, small_structure
from ctrobust.instability.structures import Letters, Nodule, Structure
from ctrobust.instability.tiny import SideBySide, Tiny, TinyPerturbation, side_by_side
from ctrobust.instability.views import more_views

__all__ = [
    "Detectability",
    "Letters",
    "Nodule",
    "SideBySide",
    "Structure",
    "Tiny",
    "TinyPerturbation",
    "body_mask",
    "contrast_recovery",
    "footprint",
    "hide",
    "hotelling_detectability",
    "hotelling_template",
    "invent",
    "laguerre_gauss",
    "more_views",
    "noisy_ensemble",
    "place",
    "side_by_side",
    "small_structure",
    "template_detectability",
]

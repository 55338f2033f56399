"""Budgets and the adversaries held to them."""

from ctrobust.threat.adversaries import ADVERSARIES
from ctrobust.threat.adversary import Adversary, WorstOf
from ctrobust.threat.ascent import ProjectedGradientAscent
from ctrobust.threat.budget import Budget, L2Ball
from ctrobust.threat.linf import Linf
from ctrobust.threat.whitened import Whitened

__all__ = [
    "ADVERSARIES",
    "Adversary",
    "Budget",
    "L2Ball",
    "Linf",
    "ProjectedGradientAscent",
    "Whitened",
    "WorstOf",
]

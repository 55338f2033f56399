"""Budgets and the adversaries held to them."""

from ctrobust.threat.ascent import ProjectedGradientAscent
from ctrobust.threat.budget import L2Ball

__all__ = ["L2Ball", "ProjectedGradientAscent"]

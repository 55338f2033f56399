"""Measurement operators: torch around ASTRA. `Projector` is the door."""

from ctrobust.operators.noise import low_dose
from ctrobust.operators.projector import Projector

__all__ = ["Projector", "low_dose"]

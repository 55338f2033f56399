"""From a measurement to an image: y ↦ x̂, one call for every kind."""

from ctrobust.reconstruct.learned import FilteredBackProjection, LearnedReconstructor
from ctrobust.reconstruct.load import load

__all__ = ["FilteredBackProjection", "LearnedReconstructor", "load"]

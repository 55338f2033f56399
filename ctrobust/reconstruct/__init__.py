"""From a measurement to an image: y ↦ x̂, one call for every kind."""

from ctrobust.reconstruct.cgls import cgls
from ctrobust.reconstruct.learned import FilteredBackProjection, LearnedReconstructor
from ctrobust.reconstruct.load import load
from ctrobust.reconstruct.sirt import sirt
from ctrobust.reconstruct.total_variation import total_variation

__all__ = ["FilteredBackProjection", "LearnedReconstructor", "cgls", "load", "sirt", "total_variation"]

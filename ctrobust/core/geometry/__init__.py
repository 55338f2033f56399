"""Scan geometries as frozen values. Millimetres and radians throughout; axes as in ASTRA.

Row 0 is the top of the image, x points right, y up, the origin is the centre of the image. Detector bins lie along
(cos θ, sin θ); `bin_shift` displaces them that way, in bins; `detector_tilt` turns the detector about its own centre.
"""

from ctrobust.core.geometry.fan import FanBeam
from ctrobust.core.geometry.fields import ImageSize, Views, image_shape_of
from ctrobust.core.geometry.parallel import ParallelBeam

Geometry = ParallelBeam | FanBeam

__all__ = ["FanBeam", "Geometry", "ImageSize", "ParallelBeam", "Views", "image_shape_of"]

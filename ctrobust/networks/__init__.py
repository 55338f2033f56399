"""Networks without physics: f's U-Net and the perturbation network G."""

from ctrobust.networks.fbpconvnet import FBPConvNet
from ctrobust.networks.perturber import MeasurementPerturber, SinogramPerturber

__all__ = ["FBPConvNet", "MeasurementPerturber", "SinogramPerturber"]

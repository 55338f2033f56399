"""Hounsfield units and the network's unit: attenuation relative to water (air 0, water 1)."""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Real = TypeVar("Real", bound=np.floating[Any])

AIR_HU = -1000.0
PADDING_HU = -1024.0
"""What a store writes for padding, for the outside of the scanner's circle, and for anything below."""

WATER_PER_MM = 0.0193
"""Linear attenuation of water at 70 keV, mm⁻¹ (NIST XCOM)."""


def relative_from_hu(hu: NDArray[Real]) -> NDArray[Real]:
    """x = max(1 + HU/1000, 0): below air counts as air, nothing is clipped above. Any shape."""
    return np.maximum(1 + hu / 1000, 0).astype(hu.dtype)


def hu_from_relative(x: NDArray[Real]) -> NDArray[Real]:
    """HU = 1000·(x − 1). Any shape."""
    return (1000 * (x - 1)).astype(x.dtype)

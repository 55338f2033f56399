"""ctrobust: train, attack and judge learned CT reconstruction.

Importing the package loads neither torch nor astra: public names are resolved when used, so that
`ctrobust.Projector` and `from ctrobust.operators import Projector` are the same thing.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "ParallelBeam": "ctrobust.core.geometry",
    "Projector": "ctrobust.operators",
    "FBPConvNet": "ctrobust.networks",
    "SinogramPerturber": "ctrobust.networks",
    "load": "ctrobust.reconstruct",
    "L2Ball": "ctrobust.threat",
    "ProjectedGradientAscent": "ctrobust.threat",
    "robustness_curve": "ctrobust.evaluate",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ctrobust' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""ctrobust: train, attack and judge learned CT reconstruction.

Importing the package loads neither torch nor astra; the rooms are imported by name:
`from ctrobust.operators import Projector`.
"""

__version__ = "0.1.0"

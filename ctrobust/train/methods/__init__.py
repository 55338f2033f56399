"""The training methods, one a file: a name in a recipe, and what it stands for.

A package of one's own adds to them by an entry point in the group `ctrobust.methods`, a `Method` made from a recipe
and a Fabric; its options are the recipe's `options`.
"""

from collections.abc import Callable
from importlib.metadata import entry_points

from lightning_fabric import Fabric

from ctrobust.core.errors import UserError
from ctrobust.recipes.schema import Recipe
from ctrobust.train.methods.erm import ERM
from ctrobust.train.methods.jitter import Jitter
from ctrobust.train.methods.method import Method
from ctrobust.train.methods.minmax import MinMax
from ctrobust.train.methods.parseval import Parseval
from ctrobust.train.methods.pgd import PGD
from ctrobust.train.methods.universal import Universal
from ctrobust.train.methods.weight_decay import WeightDecay

METHODS: dict[str, Callable[[Recipe, Fabric], Method]] = {
    "erm": ERM,
    "weight_decay": WeightDecay,
    "parseval": Parseval,
    "jitter": Jitter,
    "universal": Universal,
    "pgd": PGD,
    "minmax": MinMax,
}


def find_method(name: str) -> Callable[[Recipe, Fabric], Method]:
    """Raises UserError on a name that is neither ours nor that of an installed package."""
    if name in METHODS:
        return METHODS[name]
    others = {entry.name: entry for entry in entry_points(group="ctrobust.methods")}
    if name in others:
        method: Callable[[Recipe, Fabric], Method] = others[name].load()
        return method
    raise UserError(f"method {name!r}: give one of {', '.join([*METHODS, *others])}")


__all__ = ["METHODS", "Method", "find_method"]

"""The table of training methods: a name in a recipe, and the adversary it stands for."""

from collections.abc import Callable

from lightning_fabric import Fabric

from ctrobust.networks import SinogramPerturber
from ctrobust.recipes import Recipe
from ctrobust.train.adversary import Adversary, NoAdversary
from ctrobust.train.minmax import MinMax


def _erm(recipe: Recipe, fabric: Fabric) -> Adversary:
    return NoAdversary()


def _minmax(recipe: Recipe, fabric: Fabric) -> Adversary:
    threat = recipe.threat
    perturber = SinogramPerturber(
        threat.base_channels, threat.levels, scale=threat.eps, hints=int(threat.sees == "gradient")
    )
    return MinMax(
        perturber,
        fabric,
        eps=threat.eps,
        ball=threat.ball,
        sees=threat.sees,
        weight=threat.weight,
        lambda_2=threat.lambda_2,
        steps_per_update=threat.steps_per_update,
        lr=threat.lr,
        seed=recipe.seed,
    )


METHODS: dict[str, Callable[[Recipe, Fabric], Adversary]] = {
    "erm": _erm,
    "minmax": _minmax,
}

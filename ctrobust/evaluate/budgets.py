"""The budget and the ascent that a recipe asks for, and what a result says of them."""

from typing import Any

from torch import Tensor

from ctrobust.evaluate.mixed import MixedAscent
from ctrobust.recipes import Recipe
from ctrobust.threat import Budget, L2Ball, Linf, ProjectedGradientAscent, Whitened

BALLS = {
    ("l2", True): "L2, relative to each slice's sinogram",
    ("l2", False): "L2, in mm of water",
    ("linf", True): "largest reading, relative to that of each slice's sinogram",
    ("linf", False): "largest reading, in mm of water",
    ("whitened", False): "L2 in standard deviations of the photon noise; eps is d' of an ideal observer",
}


def budget_of(recipe: Recipe) -> Budget:
    """Of the largest radius of `evaluate.eps`; the dose of a whitened one is the scan's."""
    settings, scan = recipe.evaluate, recipe.scan
    eps = max((0.0, *settings.eps))
    if settings.budget == "whitened":
        assert scan.photons is not None, "the schema asks for them"
        return Whitened(eps, scan.photons, scan.electronic_counts)
    return (L2Ball if settings.budget == "l2" else Linf)(eps, settings.relative)


def ascent_of(recipe: Recipe) -> ProjectedGradientAscent:
    """The attack that makes the curve, in the largest of its budgets."""
    settings = recipe.evaluate
    return (MixedAscent if settings.precision == "bf16" else ProjectedGradientAscent)(
        budget_of(recipe),
        steps=settings.steps,
        restarts=settings.restarts,
        seed=recipe.seed,
        allow_unmatched=settings.allow_unmatched,
    )


def description(recipe: Recipe) -> dict[str, Any]:
    """budget, relative and, in words, ball: for result.json."""
    relative = recipe.evaluate.relative and recipe.evaluate.budget != "whitened"
    kind = recipe.evaluate.budget
    return {"budget": kind, "relative": relative, "ball": BALLS[kind, relative]}


def shown_radius(recipe: Recipe) -> float:
    """The radius that is shown and checked: of the recipe's the nearest to what f was trained at, else the middle one.

    Radii of another budget than the training's are no sizes of the same thing.
    """
    settings, threat = recipe.evaluate, recipe.threat
    radii = radii_of(recipe)
    if settings.budget == "l2" and settings.relative == threat.relative:
        return min(radii, key=lambda radius: abs(radius - threat.eps))
    return radii[len(radii) // 2]


def radii_of(recipe: Recipe) -> list[float]:
    """In ascending order, 0 among them."""
    return sorted({0.0, *recipe.evaluate.eps})


def with_noise_shares(curve: list[dict[str, Any]], budget: Budget, y: Tensor) -> list[dict[str, Any]]:
    """Beside each k of a whitened budget k/√n: that length against the length of a draw of the noise itself."""
    if not isinstance(budget, Whitened):
        return curve
    return [row | {"noise_share": budget.with_eps(row["eps"]).noise_share(y)} for row in curve]

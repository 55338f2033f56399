"""Recipes: YAML files, and the frozen values they become."""

from ctrobust.recipes.loading import load_recipe, read_recipe, shipped_recipes, write_recipe
from ctrobust.recipes.schema import Recipe

__all__ = ["Recipe", "load_recipe", "read_recipe", "shipped_recipes", "write_recipe"]

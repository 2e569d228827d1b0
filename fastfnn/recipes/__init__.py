"""Recipes that reproduce published training runs, one per file."""

from __future__ import annotations

from fastfnn._checks import unknown_name
from fastfnn.recipes import digits, kaggle_rmsprop, layers_adam, layers_sgd, sigmoid_sgd, spiral
from fastfnn.recipes.recipe import Recipe

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        kaggle_rmsprop.RECIPE,
        layers_sgd.RECIPE,
        layers_adam.RECIPE,
        sigmoid_sgd.RECIPE,
        spiral.RECIPE,
        digits.RECIPE,
    )
}


def get_recipe(name: str) -> Recipe:
    """Return the recipe called `name`.

    Raises
    ------
    ValueError
        If no recipe has that name.
    """
    if isinstance(name, str) and name in RECIPES:
        return RECIPES[name]
    raise unknown_name("recipe", name, RECIPES)

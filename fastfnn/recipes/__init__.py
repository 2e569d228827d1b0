"""The published trainings, one file each."""

from __future__ import annotations

from types import ModuleType

from fastfnn.recipes import kaggle_rmsprop

RECIPES: dict[str, ModuleType] = {"kaggle-rmsprop": kaggle_rmsprop}


def get_recipe(name: str) -> ModuleType:
    """Return the module of the recipe called `name`.

    Raises
    ------
    ValueError
        If there is none.
    """
    if name not in RECIPES:
        raise ValueError(f"recipe must be one of {', '.join(RECIPES)}; got {name!r}")
    return RECIPES[name]

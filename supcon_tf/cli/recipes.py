"""Finds the recipe that a command line asks for."""

import pathlib
from typing import Any, List, Mapping, Optional

from supcon_tf.config import MODES
from supcon_tf.errors import ArgumentError
from supcon_tf.names import did_you_mean

RECIPES = pathlib.Path(__file__).parents[1] / "recipes"
EXAMPLES = ("digits_supcon", "cifar10_supcon", "default_supcon")


def names() -> List[str]:
    """Returns the names of all recipes that come with the package."""
    return sorted(path.stem for path in RECIPES.glob("*.cfg"))


def find(by_hand: Mapping[str, Any]) -> Optional[pathlib.Path]:
    """Returns the recipe that the command line names or implies; None if there is none.

    >>> find({"mode": "supcon", "dataset": "cifar10"}).stem
    'cifar10_supcon'

    Args:
      by_hand: option name → value, as given on the command line.

    Raises:
      ArgumentError: there is no recipe of the given name.
    """
    recipe, preset = by_hand.get("recipe"), by_hand.get("preset")
    if preset is not None:
        if recipe is not None:
            raise ArgumentError("preset", preset, "contradicts {recipe}; leave one out", recipe=recipe)
        return RECIPES / f"preset_{preset}.cfg"
    if recipe == "none":
        return None
    if recipe is not None:
        return _named(recipe)
    mode, dataset = by_hand.get("mode"), by_hand.get("dataset")
    if mode not in MODES or dataset is None:
        return None  # later checks name the option that is missing or wrong
    pair = f"{dataset.split(':')[0].replace('/', '_')}_{mode}"
    for name in (f"{pair}_{by_hand.get('encoder')}", pair, f"default_{mode}"):
        if name in names():
            return RECIPES / f"{name}.cfg"
    return None


def leaves_to_images(recipe: pathlib.Path) -> bool:
    """Returns whether the images decide what this recipe does not set: one that is for any data set.

    >>> leaves_to_images(RECIPES / "default_supcon.cfg"), leaves_to_images(RECIPES / "cifar10_supcon.cfg")
    (True, False)
    """
    return recipe.parent == RECIPES and recipe.stem.startswith(("default_", "preset_"))


def _named(recipe: str) -> pathlib.Path:
    """Returns the file of a recipe, given by its name or its path."""
    for path in (RECIPES / f"{recipe}.cfg", pathlib.Path(recipe)):
        if path.is_file():
            return path
    others = f"; give the path of a file or a name of docs/recipes.md, for example {', '.join(EXAMPLES)}"
    hint = did_you_mean(recipe, names()) or others
    raise ArgumentError("recipe", recipe, f"no such recipe{hint}")

"""Names the recipe or flagfile in errors about values that it sets."""

import contextlib
from typing import Any, Iterator, Mapping

from supcon_tf.config import as_flag, options, plan_options
from supcon_tf.errors import ArgumentError, UserError, as_keyword

NAMED = ("recipe ", "flagfile ")  # how the sources begin that an error names


@contextlib.contextmanager
def recipe_named(sources: Mapping[str, str], values: Mapping[str, Any]) -> Iterator[None]:
    """Writes a passing `UserError` as the command line does, with the file after each value that comes from one.

    >>> with recipe_named({"mix": "recipe mine"}, {"mix": "mixup", "learn_temperature": True}):
    ...     raise ArgumentError("learn_temperature", True, "contradicts {mix}", mix="mixup")
    Traceback (most recent call last):
    supcon_tf.errors.UserError: --learn_temperature: contradicts --mix=mixup (recipe mine)

    Args:
      sources: option name → source of its value; 'recipe NAME' or 'flagfile PATH' for one from a file.
      values: option name → value.
    """
    try:
        yield
    except UserError as error:
        refused = (error.argument, error.value) if isinstance(error, ArgumentError) else None

        known = {option.name for option in (*options(), *plan_options())}

        def style(name: str, value: Any) -> str:
            if name not in known:  # an argument of a function of ours that no option sets
                return as_keyword(name, value)
            source = sources.get(name, "")
            # The refused value may be one element of the option's value. A value that is neither is a suggestion.
            from_recipe = source.startswith(NAMED) and ((name, value) == refused or value == values.get(name))
            return f"{as_flag(name, value)} ({source})" if from_recipe else as_flag(name, value)

        raise UserError(error.text(style)) from error

"""Identifies weights that an optimizer treats differently, on every replica and after loading from a file.

Names do not identify weights: two weights may share one, and the copies on other replicas have names of their own.
"""

from typing import Any, FrozenSet, List, Optional, Sequence, Tuple, Union

import tensorflow as tf

from supcon_tf.errors import ArgumentError

# A weight, its name, or its position in the list of weights that the optimizer is built for
Chosen = Union[tf.Variable, str, int]


def as_chosen(argument: str, given: Any) -> Tuple[Chosen, ...]:
    """Returns an optimizer's argument that holds weights as a tuple.

    >>> as_chosen("undecayed", "bias")
    Traceback (most recent call last):
    supcon_tf.errors.ArgumentError: undecayed='bias': must be a list of variables, names or positions

    Raises:
      ArgumentError: it is not a list of variables, names or positions.
    """
    chosen = tuple(given) if hasattr(given, "__iter__") and not isinstance(given, str) else None
    if chosen is None or not all(isinstance(one, (str, int)) or hasattr(one, "name") for one in chosen):
        raise ArgumentError(argument, given, "must be a list of variables, names or positions")
    return chosen


def positions(
    argument: str,
    chosen: Sequence[Chosen],
    weights: Sequence[tf.Variable],
    counted: Optional[Sequence[Any]] = None,
) -> FrozenSet[int]:
    """Returns the positions in `weights` of the chosen ones.

    >>> weights = [tf.Variable(1.0, name="kernel"), tf.Variable(2.0, name="bias")]
    >>> sorted(positions("undecayed", [weights[0], "bias"], weights))
    [0, 1]

    Args:
      argument: name of the optimizer's argument that holds them.
      chosen: variables, names or positions. A name stands for all weights with that name, with or without ':0'.
      weights: the weights that the optimizer is built for.
      counted: shapes of the weights that the positions count; None for those of `weights`.

    Raises:
      ArgumentError: a choice is none of the weights, or the positions count weights of other shapes.
    """
    if counted is not None and any(isinstance(choice, int) for choice in chosen):
        _check_shapes(argument, chosen, counted, shapes_of(weights))
    found: List[int] = []
    by_id = {id(weight): position for position, weight in enumerate(weights)}
    for choice in chosen:
        if isinstance(choice, int):
            matching = [choice] if 0 <= choice < len(weights) else []
        elif isinstance(choice, str):
            names = (choice, f"{choice}:0")
            matching = [position for position, weight in enumerate(weights) if weight.name in names]
        else:
            matching = [by_id[id(choice)]] if id(choice) in by_id else []
        if not matching:
            name = choice if isinstance(choice, (str, int)) else choice.name
            raise ArgumentError(argument, name, f"is none of the {len(weights)} weights that are trained")
        found.extend(matching)
    return frozenset(found)


def _check_shapes(argument: str, chosen: Sequence[Chosen], there: Sequence[Any], here: Sequence[Any]) -> None:
    advice = "name the weights; load_model(…, compile=False) leaves the optimizer out"
    if len(there) != len(here):
        problem = f"are positions among {len(there)} weights, but {len(here)} are trained; {advice}"
        raise ArgumentError(argument, list(chosen), problem)
    for position, (one, other) in enumerate(zip(there, here)):
        if list(one) != list(other):
            problem = f"are positions among other weights: weight {position} had {tuple(one)}, now {tuple(other)}"
            raise ArgumentError(argument, list(chosen), f"{problem}; {advice}")


def shapes_of(weights: Sequence[tf.Variable]) -> List[List[int]]:
    """Returns the shapes of weights, to record beside positions among them."""
    return [weight.shape.as_list() for weight in weights]


def with_biases(found: FrozenSet[int], weights: Sequence[tf.Variable]) -> FrozenSet[int]:
    """Returns positions and those of the biases, which their layer calls 'bias'."""
    names = [weight.name.split("/")[-1].split(":")[0] for weight in weights]
    return found | {position for position, name in enumerate(names) if name == "bias"}


def as_config(chosen: Sequence[Chosen]) -> List[Union[str, int]]:
    """Returns names and positions for an optimizer's `get_config`.

    A variable becomes its name. An optimizer that is built writes positions instead, which are unique, and beside them
    the shapes of all weights; see `positions`.
    """
    return [choice if isinstance(choice, (str, int)) else choice.name for choice in chosen]

"""Identifies weights that an optimizer treats differently, on every replica and after loading from a file.

Names do not identify weights: two weights may share one, and the copies on other replicas have names of their own.
"""

from typing import Any, FrozenSet, List, Sequence, Tuple, Union

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


def positions(argument: str, chosen: Sequence[Chosen], weights: Sequence[tf.Variable]) -> FrozenSet[int]:
    """Returns the positions in `weights` of the chosen ones. Ignores a variable that is not in `weights`.

    >>> weights = [tf.Variable(1.0, name="kernel"), tf.Variable(2.0, name="bias")]
    >>> sorted(positions("undecayed", [weights[0], "bias"], weights))
    [0, 1]

    Args:
      argument: name of the optimizer's argument that holds them.
      chosen: variables, names or positions. A name stands for all weights with that name, with or without ':0'.
      weights: the weights that the optimizer is built for.

    Raises:
      ArgumentError: no weight has that name or position.
    """
    found: List[int] = []
    by_id = {id(weight): position for position, weight in enumerate(weights)}
    for choice in chosen:
        if isinstance(choice, int):
            matching = [choice] if 0 <= choice < len(weights) else []
        elif isinstance(choice, str):
            names = (choice, f"{choice}:0")
            matching = [position for position, weight in enumerate(weights) if weight.name in names]
        else:
            found.extend([by_id[id(choice)]] if id(choice) in by_id else [])
            continue
        if not matching:
            raise ArgumentError(argument, choice, f"is none of the {len(weights)} weights that are trained")
        found.extend(matching)
    return frozenset(found)


def positions_with_biases(argument: str, chosen: Sequence[Chosen], weights: Sequence[tf.Variable]) -> List[int]:
    """Returns the sorted positions of the chosen weights and of the biases, which their layer calls 'bias'.

    Args, Raises: as for `positions`.
    """
    names = [weight.name.split("/")[-1].split(":")[0] for weight in weights]
    biases = {position for position, name in enumerate(names) if name == "bias"}
    return sorted(positions(argument, chosen, weights) | biases)


def as_config(chosen: Sequence[Chosen]) -> List[Union[str, int]]:
    """Returns names and positions for an optimizer's `get_config`.

    A variable becomes its name. An optimizer that is built writes positions instead, which are unique.
    """
    return [choice if isinstance(choice, (str, int)) else choice.name for choice in chosen]

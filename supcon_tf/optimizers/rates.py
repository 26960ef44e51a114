"""Gives some weights a smaller learning rate than others, with any optimizer."""

from typing import Dict, Sequence, Tuple

import tensorflow as tf
from tensorflow import keras

from supcon_tf.errors import ArgumentError


def scale_rates(optimizer: keras.optimizers.Optimizer, factors: Sequence[Tuple[tf.Variable, float]]) -> None:
    """Multiplies each update of some weights by a factor, as a factor of their learning rate does.

    With 'adamw' the decay, which that optimizer subtracts before its update, keeps the whole rate.

    >>> weight, optimizer = tf.Variable(1.0), keras.optimizers.SGD(1.0)
    >>> scale_rates(optimizer, [(weight, 0.25)])
    >>> _ = optimizer.apply_gradients([(tf.constant(2.0), weight)])
    >>> float(weight)
    0.5

    Args:
      optimizer: is changed.
      factors: weights and their factors, above 0 and at most 1. All other weights keep the whole rate.

    Raises:
      ArgumentError: a factor is not allowed.
    """
    if not all(0 < factor <= 1 for _, factor in factors):
        raise ArgumentError("factors", factors, "must hold numbers above 0 and at most 1")
    update_step = optimizer.update_step
    by_position: Dict[int, float] = {}

    def scaled(gradient: tf.Tensor, variable: tf.Variable) -> None:
        if not by_position:  # the weights are numbered when the optimizer is built
            positions = ((optimizer._index_dict[optimizer._var_key(weight)], factor) for weight, factor in factors)
            by_position.update(positions)
        factor = by_position.get(optimizer._index_dict[optimizer._var_key(variable)], 1.0)
        before = tf.identity(variable)
        update_step(gradient, variable)
        if factor != 1:
            after = tf.identity(variable)
            variable.assign(before + tf.cast(factor, variable.dtype) * (after - before))

    optimizer.update_step = scaled

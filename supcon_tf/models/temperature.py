"""A temperature that is learned, kept as its logarithm."""

import math

import tensorflow as tf
from tensorflow import keras

LOWEST, HIGHEST = 0.01, 1.0


def add_log_temperature(model: keras.Model, start: float) -> tf.Variable:
    """Adds the weight log τ to a model. It starts at `start` and stays within 0.01 and 1, or within `start`."""
    lowest, highest = math.log(min(LOWEST, start)), math.log(max(HIGHEST, start))
    return model.add_weight(
        name="log_temperature",
        shape=(),
        initializer=keras.initializers.Constant(math.log(start)),
        constraint=lambda value: tf.clip_by_value(value, lowest, highest),
        dtype="float32",
    )

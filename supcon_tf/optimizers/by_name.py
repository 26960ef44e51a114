"""Optimizers by name; the one place that knows which library each comes from."""

import functools
from typing import Callable, Dict

from tensorflow import keras

from supcon_tf.addons import tensorflow_addons

NO_DECAY = ("gamma", "beta", "bias", "log_temperature")

# Those that decay the weights themselves; with the others, the decay is an L2 term of the loss.
DECAY_IN_OPTIMIZER = ("adamw", "lamb")


def make_optimizer(
    name: str,
    learning_rate: keras.optimizers.schedules.LearningRateSchedule,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
) -> keras.optimizers.Optimizer:
    """The optimizer called `name`.

    Args:
      name: 'sgd', 'nesterov', 'adam', 'adamw' or 'lamb' (You et al., 2020, from TensorFlow Addons).
      learning_rate: its schedule.
      momentum: of 'sgd' and 'nesterov'.
      weight_decay: of 'adamw' and 'lamb'; biases and batch normalisation are left out. Ignored by the others, whose
        decay is an L2 term of the loss.
    """
    makers: Dict[str, Callable[..., keras.optimizers.Optimizer]] = {
        "sgd": functools.partial(keras.optimizers.SGD, momentum=momentum),
        "nesterov": functools.partial(keras.optimizers.SGD, momentum=momentum, nesterov=True),
        "adam": keras.optimizers.Adam,
        "adamw": functools.partial(_adamw, weight_decay=weight_decay),
        "lamb": functools.partial(_lamb, weight_decay=weight_decay),
    }
    return makers[name](learning_rate)


def _adamw(
    learning_rate: keras.optimizers.schedules.LearningRateSchedule, weight_decay: float
) -> keras.optimizers.Optimizer:
    optimizer = keras.optimizers.AdamW(learning_rate, weight_decay=weight_decay)
    optimizer.exclude_from_weight_decay(var_names=NO_DECAY)
    return optimizer


def _lamb(
    learning_rate: keras.optimizers.schedules.LearningRateSchedule, weight_decay: float
) -> keras.optimizers.Optimizer:
    return tensorflow_addons().optimizers.LAMB(
        learning_rate, weight_decay=weight_decay, exclude_from_weight_decay=list(NO_DECAY)
    )

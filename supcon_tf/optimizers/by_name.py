"""Optimizers by name; the one place that knows which library each comes from."""

import functools
import re
from typing import Any, Callable, Dict, List, Optional, Sequence

import tensorflow as tf
from tensorflow import keras

from supcon_tf.addons import tensorflow_addons
from supcon_tf.optimizers.lars import LARS
from supcon_tf.optimizers.momentum import SGD, RMSprop

# Those that decay the weights themselves; with the others, the decay is an L2 term of the loss.
DECAY_IN_OPTIMIZER = ("lars", "adamw", "lamb")

# Numbers that each keeps for a weight.
SLOTS = {"sgd": 1, "nesterov": 1, "lars": 1, "rmsprop": 2, "adam": 2, "adamw": 2, "lamb": 2}

# Of the authors' linear stage on ImageNet.
RMSPROP_DECAY, RMSPROP_EPSILON = 0.9, 0.001


def make_optimizer(
    name: str,
    learning_rate: keras.optimizers.schedules.LearningRateSchedule,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    undecayed: Sequence[tf.Variable] = (),
    unadapted: Sequence[tf.Variable] = (),
    clip_norm: Optional[float] = None,
) -> keras.optimizers.Optimizer:
    """The optimizer called `name`.

    Args:
      name: 'sgd', 'nesterov', 'lars' (You et al. 2017), 'rmsprop', 'adam', 'adamw' or 'lamb' (You et al. 2020, from
        TensorFlow Addons).
      learning_rate: its schedule.
      momentum: of 'sgd', 'nesterov', 'lars' and 'rmsprop'.
      weight_decay: of 'lars', 'adamw' and 'lamb'. Ignored by the others, whose decay is an L2 term of the loss.
      undecayed: weights that do not decay, nor do, with 'adamw' and 'lamb', biases.
      unadapted: weights whose rate 'lars' does not scale.
      clip_norm: longest gradient, of all weights together; None for any.
    """
    undecayed_names = [weight.name for weight in undecayed]
    # Addons search a name without its ':0', Keras one that has it.
    patterns = ["bias", *(f"^{re.escape(name.split(':')[0])}(:0)?$" for name in undecayed_names)]
    makers: Dict[str, Callable[..., keras.optimizers.Optimizer]] = {
        "sgd": functools.partial(SGD, momentum=momentum),
        "nesterov": functools.partial(SGD, momentum=momentum, nesterov=True),
        "lars": functools.partial(
            LARS,
            momentum=momentum,
            weight_decay=weight_decay,
            exclude_from_weight_decay=undecayed_names,
            exclude_from_layer_adaptation=[weight.name for weight in unadapted],
        ),
        "rmsprop": functools.partial(RMSprop, rho=RMSPROP_DECAY, momentum=momentum, epsilon=RMSPROP_EPSILON),
        "adam": keras.optimizers.Adam,
        "adamw": functools.partial(_adamw, weight_decay=weight_decay, undecayed=patterns),
        "lamb": functools.partial(_lamb, weight_decay=weight_decay, undecayed=patterns),
    }
    return makers[name](learning_rate, **({"global_clipnorm": clip_norm} if clip_norm else {}))


def _adamw(
    learning_rate: keras.optimizers.schedules.LearningRateSchedule, undecayed: List[str], **options: Any
) -> keras.optimizers.Optimizer:
    optimizer = keras.optimizers.AdamW(learning_rate, **options)
    optimizer.exclude_from_weight_decay(var_names=undecayed)
    return optimizer


def _lamb(
    learning_rate: keras.optimizers.schedules.LearningRateSchedule, undecayed: List[str], **options: Any
) -> keras.optimizers.Optimizer:
    return tensorflow_addons().optimizers.LAMB(learning_rate, exclude_from_weight_decay=undecayed, **options)

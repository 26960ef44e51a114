"""Weight decay: which weights decay, and the L2 term of the loss.

The layer that owns a weight decides, not the weight's name: the author of an encoder chooses the names.
"""

from typing import List, Sequence

import tensorflow as tf
from tensorflow import keras

NORMALIZATION = (keras.layers.BatchNormalization, keras.layers.LayerNormalization, keras.layers.GroupNormalization)


def decaying_weights(layers: Sequence[keras.layers.Layer], *, normalization: bool = False) -> List[tf.Variable]:
    """Returns the trainable weights of layers, biases included; with `normalization` also its scale and shift."""
    parts = [part for layer in layers for part in layer.submodules if isinstance(part, NORMALIZATION)]
    left_out = set() if normalization else {id(weight) for part in parts for weight in part.weights}
    weights = [weight for layer in layers for weight in layer.trainable_weights]
    return [weight for weight in weights if id(weight) not in left_out]


def l2_term(weights: Sequence[tf.Variable], weight_decay: float) -> tf.Tensor:
    """Returns λ/2·Σ‖w‖², a float32 scalar, whose gradient is λ·w.

    >>> float(l2_term([tf.Variable([3.0, 4.0])], weight_decay=0.1))
    1.25
    """
    return weight_decay * tf.add_n([tf.nn.l2_loss(tf.cast(weight, tf.float32)) for weight in weights])

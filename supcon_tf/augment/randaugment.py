"""RandAugment (Cubuk et al. 2020, arXiv 1909.13719)."""

from typing import Tuple

import tensorflow as tf

from supcon_tf.augment import levels
from supcon_tf.errors import ArgumentError

UNIFORMS_PER_LAYER = 1 + levels.UNIFORMS

# Lengths at level 10, in pixels of an image of side 224.
_TRANSLATE = 100.0
_CUTOUT = 40.0


def randaugment(image: tf.Tensor, uniforms: tf.Tensor, layers: int, magnitude: float) -> tf.Tensor:
    """Applies `layers` operations one after the other, each drawn from all sixteen.

    >>> image = tf.zeros([8, 8, 3], tf.uint8)
    >>> randaugment(image, tf.fill([2 * UNIFORMS_PER_LAYER], 0.5), layers=2, magnitude=10).shape
    TensorShape([8, 8, 3])

    Args:
      image: uint8 `[height, width, channels]`, with 1 or 3 channels.
      uniforms: float32 `[layers * UNIFORMS_PER_LAYER]` in [0, 1), which decide all random choices.
      layers: number of operations.
      magnitude: level of the operations, from 0 to 10.

    Returns:
      uint8 `[height, width, channels]`.

    Raises:
      ArgumentError: `magnitude` is not between 0 and 10.
    """
    if not 0 <= magnitude <= 10:
        raise ArgumentError("magnitude", magnitude, "must be between 0 and 10")
    for drawn in tf.unstack(tf.reshape(uniforms, [layers, UNIFORMS_PER_LAYER])):
        index, argument = draw_operation(drawn[0], magnitude)
        image = levels.apply(image, index, argument, drawn[1:])
    return image


def draw_operation(uniform: tf.Tensor, magnitude: float) -> Tuple[tf.Tensor, tf.Tensor]:
    """Returns the index into `levels.OPERATIONS` (int32) that follows from a uniform number, and its argument."""
    arguments = [levels.argument_at(name, magnitude, _TRANSLATE, _CUTOUT) for name in levels.OPERATIONS]
    index = levels.choice(uniform, len(arguments))
    return index, tf.gather(tf.constant(arguments), index)

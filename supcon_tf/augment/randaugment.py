"""RandAugment (Cubuk et al. 2020, arXiv 1909.13719)."""

from typing import Tuple

import tensorflow as tf

from supcon_tf.augment import levels

UNIFORMS_PER_LAYER = 1 + levels.UNIFORMS

# At level 10, in pixels of an image of side 224.
_TRANSLATE = 100.0
_CUTOUT = 40.0


def randaugment(image: tf.Tensor, uniforms: tf.Tensor, layers: int, magnitude: float) -> tf.Tensor:
    """So many operations one after the other, each drawn anew from all sixteen.

    Args:
      image: uint8 `[height, width, channels]`, with 1 or 3 channels.
      uniforms: float32 `[layers * UNIFORMS_PER_LAYER]` in [0, 1), from which everything random follows.
      layers: how many operations.
      magnitude: their level, from 0 to 10.

    Returns:
      uint8 `[height, width, channels]`.

    Raises:
      ValueError: if `magnitude` is not between 0 and 10.
    """
    if not 0 <= magnitude <= 10:
        raise ValueError(f"The magnitude of RandAugment is between 0 and 10, not {magnitude}.")
    for of_layer in tf.unstack(tf.reshape(uniforms, [layers, UNIFORMS_PER_LAYER])):
        index, argument = draw_operation(of_layer[0], magnitude)
        image = levels.apply(image, index, argument, of_layer[1:])
    return image


def draw_operation(uniform: tf.Tensor, magnitude: float) -> Tuple[tf.Tensor, tf.Tensor]:
    """The index into `levels.OPERATIONS` (int32) that follows from a uniform number, and that operation's argument."""
    arguments = [levels.argument_at(name, magnitude, _TRANSLATE, _CUTOUT) for name in levels.OPERATIONS]
    index = levels.choice(uniform, len(arguments))
    return index, tf.gather(tf.constant(arguments), index)

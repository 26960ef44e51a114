"""Mixup (Zhang et al. 2018, arXiv 1710.09412) and CutMix (Yun et al. 2019, arXiv 1905.04899) of a batch with itself."""

from typing import Tuple

import tensorflow as tf

KINDS = ("mixup", "cutmix")
NUMBERS = 3  # how many `draw_numbers` returns


def draw_numbers(seed: tf.Tensor, alpha: float) -> tf.Tensor:
    """What chance decides about the mixing of one image, `[NUMBERS]` float32: its share, and a place for CutMix.

    Args:
      seed: `[2]` integers, as `augmented_views` takes them.
      alpha: the share is drawn from Beta(alpha, alpha): near a half if that is large, near 0 or 1 if it is small.
    """
    own = tf.cast(seed, tf.int64) + [0, 1 << 42]  # another stream than that of any example's views
    first, second = tf.unstack(tf.random.stateless_gamma([2], own, alpha))
    # Both may underflow to 0 for a tiny alpha; then any share of 0 or 1 is right.
    share = tf.where(first + second > 0, first / (first + second), 1.0)
    place = tf.random.stateless_uniform([2], own, alg="philox")
    return tf.concat([[share], place], axis=0)


def mix(views: tf.Tensor, labels: tf.Tensor, numbers: tf.Tensor, kind: str) -> Tuple[tf.Tensor, tf.Tensor]:
    """Each image of a batch with the one that stands as far from the batch's end as it stands from its start.

    A batch is in random order, so that this pairs at random. Of an image with share λ and its partner,

        mixup:  x = λ·x_image + (1 − λ)·x_partner
        cutmix: x = x_image, but x_partner within a box of area 1 − λ about a random place, cut off at the border, where
                λ is then what is left of the image

    and the label is λ·y_image + (1 − λ)·y_partner in both. All views of an image are mixed alike.

    Args:
      views: `[batch, views, side, side, channels]` uint8, or without `views` where an image has one.
      labels: `[batch, classes]` float32, a distribution in each row, or zeros for an unlabelled image.
      numbers: `[batch, NUMBERS]` from `draw_numbers`.
      kind: 'mixup' or 'cutmix'.

    Returns:
      Views and labels of the same shapes and types.
    """
    side = views.shape[-2]
    share, row, column = tf.unstack(numbers, axis=1)
    images = tf.reshape(views, [tf.shape(views)[0], -1, side, side, views.shape[-1]])
    images = tf.cast(images, tf.float32)
    partners = tf.reverse(images, axis=[0])
    if kind == "mixup":
        own = share[:, tf.newaxis, tf.newaxis, tf.newaxis, tf.newaxis]
    else:
        half = tf.sqrt(1 - share) * side / 2
        down, across = (_within(centre * side, half, side) for centre in (row, column))
        inside = tf.cast(down[:, :, tf.newaxis] & across[:, tf.newaxis, :], tf.float32)
        share = 1 - tf.reduce_mean(inside, axis=[1, 2])
        own = 1 - inside[:, tf.newaxis, :, :, tf.newaxis]
    mixed = tf.cast(tf.round(own * images + (1 - own) * partners), tf.uint8)
    share = share[:, tf.newaxis]
    return tf.reshape(mixed, tf.shape(views)), share * labels + (1 - share) * tf.reverse(labels, axis=[0])


def _within(centre: tf.Tensor, half: tf.Tensor, side: int) -> tf.Tensor:
    """Which of `side` pixels have their centres less than half a length from a place; `[batch, side]` bool."""
    from_start = tf.range(side, dtype=tf.float32) + 0.5 - (centre - half)[:, tf.newaxis]
    return (from_start >= 0) & (from_start < 2 * half[:, tf.newaxis])

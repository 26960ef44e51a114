"""Mixup (Zhang et al. 2018, arXiv 1710.09412) and CutMix (Yun et al. 2019, arXiv 1905.04899) of a batch with itself."""

from typing import Tuple

import tensorflow as tf

from supcon_tf.augment.arguments import check_shape
from supcon_tf.config import MIXES
from supcon_tf.errors import check_choice, check_number

NUMBERS = 3  # length of the vector that `draw_numbers` returns


def draw_numbers(seed: tf.Tensor, alpha: float) -> tf.Tensor:
    """Draws the random numbers that mix one image, `[NUMBERS]` float32: its share, and a place for CutMix.

    >>> draw_numbers(tf.constant([0, 7]), alpha=1.0).shape
    TensorShape([3])

    Args:
      seed: `[2]` integers, the seed of the image's views.
      alpha: the share comes from Beta(alpha, alpha): near a half for a large alpha, near 0 or 1 for a small one.

    Raises:
      ArgumentError: `alpha` is not above 0.
    """
    check_number("alpha", alpha, above=0)
    own = tf.cast(seed, tf.int64) + [0, 1 << 42]  # a stream that differs from those of all views
    first, second = tf.unstack(tf.random.stateless_gamma([2], own, alpha))
    # Both may underflow to 0 for a tiny alpha. Then 1 is as right as 0.
    share = tf.where(first + second > 0, first / (first + second), 1.0)
    place = tf.random.stateless_uniform([2], own, alg="philox")
    return tf.concat([[share], place], axis=0)


def mix(views: tf.Tensor, labels: tf.Tensor, numbers: tf.Tensor, kind: str) -> Tuple[tf.Tensor, tf.Tensor]:
    """Mixes each image of a batch with a partner: image i with image batch − 1 − i.

    A batch is in random order, so the pairs are random. With the share λ of an image,

        mixup:  x = λ·x_image + (1 − λ)·x_partner
        cutmix: x = x_partner within a box around a random place, and x_image elsewhere. The box has the area 1 − λ, cut
                off at the border; λ is then the share of the image that is left.

    The label is λ·y_image + (1 − λ)·y_partner in both. All views of an image are mixed alike.

    >>> views, labels = tf.constant([10, 30], tf.uint8, [2, 1, 1, 1, 1]), tf.eye(2)
    >>> views, labels = mix(views, labels, tf.constant([[0.75, 0.5, 0.5], [0.5, 0.5, 0.5]]), "mixup")
    >>> views[:, 0, 0, 0, 0].numpy().tolist(), labels.numpy().tolist()
    ([15, 20], [[0.75, 0.25], [0.5, 0.5]])

    Args:
      views: `[batch, views, side, side, channels]` uint8.
      labels: `[batch, classes]` float32, a distribution in each row, or zeros for an unlabelled image.
      numbers: `[batch, NUMBERS]` from `draw_numbers`.
      kind: 'mixup' or 'cutmix'.

    Returns:
      Views and labels with the same shapes and types.

    Raises:
      ArgumentError: `kind` is another word, or a shape does not fit.
    """
    check_choice("kind", kind, MIXES[1:])
    check_shape("views", views, [None] * 5, "[batch, views, side, side, channels]")
    check_shape("labels", labels, [None, None], "distributions [batch, classes]")
    check_shape("numbers", numbers, [None, NUMBERS], f"[batch, {NUMBERS}]")
    side = views.shape[-2]
    share, row, column = tf.unstack(numbers, axis=1)
    images = tf.cast(views, tf.float32)
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
    return mixed, share * labels + (1 - share) * tf.reverse(labels, axis=[0])


def _within(centre: tf.Tensor, half: tf.Tensor, side: int) -> tf.Tensor:
    """Tells which of `side` pixels have their centres within `half` of a place, `[batch, side]` bool."""
    from_start = tf.range(side, dtype=tf.float32) + 0.5 - (centre - half)[:, tf.newaxis]
    return (from_start >= 0) & (from_start < 2 * half[:, tf.newaxis])

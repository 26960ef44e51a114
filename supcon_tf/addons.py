"""Two losses of TensorFlow Addons: its own where it can be imported, otherwise replacements with equal values.

TensorFlow Addons ended with 0.23, for TensorFlow up to 2.15. This is the only module that imports it.
"""

import functools
import importlib.util
import types
import warnings
from typing import Optional

import tensorflow as tf


@functools.cache
def tensorflow_addons() -> Optional[types.ModuleType]:
    """Returns the package, or None where it cannot be used. Suppresses its notice about the end of development."""
    too_new = tuple(map(int, tf.__version__.split(".")[:2])) > (2, 15)
    if too_new or importlib.util.find_spec("tensorflow_addons") is None:
        return None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\s*TensorFlow Addons \(TFA\) has ended development")
        import tensorflow_addons

    return tensorflow_addons


def npairs_loss(labels: tf.Tensor, similarities: tf.Tensor) -> tf.Tensor:
    """Returns the N-pairs loss (Sohn, 2016), a scalar.

    >>> print(round(float(npairs_loss(tf.constant([0, 1]), tf.eye(2))), 4))
    0.3133

    Args:
      labels: class numbers `[batch]`.
      similarities: of each anchor (row) with each contrast (column), `[batch, batch]`.
    """
    addons = tensorflow_addons()
    if addons is not None:
        return addons.losses.npairs_loss(labels, similarities)
    return npairs_loss_without_addons(labels, similarities)


def npairs_loss_without_addons(labels: tf.Tensor, similarities: tf.Tensor) -> tf.Tensor:
    """Returns what `npairs_loss` does: cross-entropy with the positives of a row weighted equally."""
    same = tf.cast(labels[:, tf.newaxis] == labels, similarities.dtype)
    targets = same / tf.reduce_sum(same, axis=1, keepdims=True)
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, similarities))


def triplet_hard_loss(labels: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Returns the triplet loss of the hardest positive and negative, with a soft margin (Hermans et al., 2017).

    >>> print(round(float(triplet_hard_loss(tf.constant([0, 0, 1]), tf.constant([[0.0], [1.0], [3.0]]))), 4))
    0.189

    Args:
      labels: class numbers `[rows]`.
      rows: embeddings `[rows, dim]`.

    Returns:
      A scalar: the mean over anchors of softplus(largest distance to its class − least distance to another class). An
      anchor without negatives has its largest distance as the least, as in TensorFlow Addons.
    """
    addons = tensorflow_addons()
    if addons is not None:
        return addons.losses.triplet_hard_loss(labels, rows, soft=True)
    return triplet_hard_loss_without_addons(labels, rows)


def triplet_hard_loss_without_addons(labels: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Returns what `triplet_hard_loss` does."""
    squares = tf.reduce_sum(tf.square(rows), axis=1)
    squared = tf.maximum(squares[:, tf.newaxis] + squares - 2 * tf.matmul(rows, rows, transpose_b=True), 0)
    apart = squared > 0  # the root has no gradient at 0
    distances = tf.where(apart, tf.sqrt(tf.where(apart, squared, 1)), 0)
    distances = tf.linalg.set_diag(distances, tf.zeros_like(squares))
    same = labels[:, tf.newaxis] == labels
    farthest = tf.reduce_max(distances, axis=1, keepdims=True)
    positive = tf.reduce_max(tf.where(same, distances, 0), axis=1)
    negative = tf.reduce_min(tf.where(same, farthest, distances), axis=1)
    return tf.reduce_mean(tf.math.softplus(positive - negative))

"""From labels to what the loss needs to know of each image's class."""

from typing import NamedTuple

import tensorflow as tf

UNLABELLED = -1


class ImageClasses(NamedTuple):
    """The classes of the images of a batch, `[batch]` int32 each. An unlabelled image is a class of its own.

    Attributes:
      order: the images, class after class; within a class as in the batch.
      number: of the image's class, from 0 on.
      rank: of the image within its class, from 0 on, in the order of the batch.
      size: number of images of the image's class.
    """

    order: tf.Tensor
    number: tf.Tensor
    rank: tf.Tensor
    size: tf.Tensor


def class_indices(labels: tf.Tensor) -> tf.Tensor:
    """Labels as `[batch]` int32, −1 for unlabelled.

    Args:
      labels: `[batch]` or `[batch, 1]` integers, or one-hot `[batch, classes]`, zeros for unlabelled.

    Raises:
      ValueError: another shape.
      InvalidArgumentError: a row that is neither one-hot nor zeros.
    """
    labels = tf.convert_to_tensor(labels)
    if labels.shape.rank == 1:
        return tf.cast(labels, tf.int32)
    if labels.shape.rank != 2:
        raise ValueError(f"labels must be [batch], [batch, 1] or one-hot [batch, classes], not {labels.shape}")
    if labels.shape[1] == 1:
        return tf.cast(labels[:, 0], tf.int32)
    entries = tf.math.count_nonzero(labels, axis=1, dtype=tf.int32)
    check = tf.debugging.Assert(
        tf.reduce_all(entries <= 1),
        [
            "labels [batch, classes] must be one-hot: an image has one class, or none (zeros). Classes per image:",
            entries,
        ],
    )
    with tf.control_dependencies([check] if check is not None else []):
        found = tf.argmax(tf.cast(labels, tf.float32), axis=1, output_type=tf.int32)
    return tf.where(entries == 0, UNLABELLED, found)


def image_classes(labels: tf.Tensor) -> ImageClasses:
    """The classes of a batch from labels `[batch]` int32, negative for unlabelled."""
    batch = tf.shape(labels)[0]
    labels = tf.where(labels < 0, -1 - tf.range(batch), labels)
    order = tf.argsort(labels, stable=True)
    in_order = tf.gather(labels, order)
    starts = tf.cast(in_order[1:] != in_order[:-1], tf.int32)
    number = tf.cumsum(tf.pad(starts, [[1, 0]]))[:batch]
    sizes = tf.math.unsorted_segment_sum(tf.ones_like(number), number, batch)
    rank = tf.range(batch) - tf.gather(tf.cumsum(sizes, exclusive=True), number)
    place = tf.argsort(order)
    number, rank, size = (tf.gather(x, place) for x in (number, rank, tf.gather(sizes, number)))
    return ImageClasses(order, number, rank, size)

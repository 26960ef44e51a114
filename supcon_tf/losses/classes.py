"""From labels to what the loss needs to know of each image's class."""

from typing import NamedTuple, Tuple

import tensorflow as tf

from supcon_tf.losses.inputs import Memory
from supcon_tf.shapes import size_of


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


def image_classes(labels: tf.Tensor) -> ImageClasses:
    """The classes of a batch from labels `[batch]`, int32 or int64, negative for unlabelled."""
    batch = tf.shape(labels)[0]
    labels = tf.where(labels < 0, -1 - tf.cast(tf.range(batch), labels.dtype), labels)
    order = tf.argsort(labels, stable=True)
    in_order = tf.gather(labels, order)
    starts = tf.cast(in_order[1:] != in_order[:-1], tf.int32)
    number = tf.cumsum(tf.pad(starts, [[1, 0]]))[:batch]
    sizes = tf.math.unsorted_segment_sum(tf.ones_like(number), number, batch)
    rank = tf.range(batch) - tf.gather(tf.cumsum(sizes, exclusive=True), number)
    place = tf.argsort(order)
    number, rank, size = (tf.gather(x, place) for x in (number, rank, tf.gather(sizes, number)))
    return ImageClasses(order, number, rank, size)


def classes_with_memory(labels: tf.Tensor, memory: Memory) -> Tuple[ImageClasses, tf.Tensor]:
    """The classes of a batch and of a memory, whose rows follow the images of the batch: `[batch + size]` each.

    Args:
      labels: `[batch]`, as for `image_classes`.
      memory: as `contrasts_of_memory` returns it.

    Returns:
      The classes, with `size` counting images of the batch only; how many valid rows of the memory are of the class,
      `[batch + size]` int32.
    """
    dtype = tf.int64 if tf.int64 in (labels.dtype, memory.labels.dtype) else tf.int32
    classes = image_classes(tf.concat([tf.cast(labels, dtype), tf.cast(memory.labels, dtype)], axis=0))
    of_memory = classes.number[size_of(labels, 0) :]
    sizes = tf.math.unsorted_segment_sum(tf.cast(memory.valid, tf.int32), of_memory, tf.size(classes.number))
    in_memory = tf.gather(sizes, classes.number)
    return classes._replace(size=classes.size - in_memory), in_memory

"""Turns labels into the numbers that the loss needs to know about each image's class."""

from typing import NamedTuple, Tuple

import tensorflow as tf

from supcon_tf.batch import UNLABELLED
from supcon_tf.losses.inputs import Memory
from supcon_tf.shapes import size_of


class ImageClasses(NamedTuple):
    """Holds the classes of the images of a batch, `[batch]` int32 each. An unlabelled image is alone in its class.

    Attributes:
      order: the images, class after class; within a class as in the batch.
      number: number of the image's class, from 0 on.
      rank: number of the image within its class, from 0 on, in the order of the batch.
      size: number of images in the image's class.
    """

    order: tf.Tensor
    number: tf.Tensor
    rank: tf.Tensor
    size: tf.Tensor


def image_classes(labels: tf.Tensor) -> ImageClasses:
    """Returns the classes of a batch from labels `[batch]`, int32 or int64, −1 for unlabelled.

    Labels below −1, which only XLA lets through, are classes too. They make room for the unlabelled images' own.
    """
    batch = tf.shape(labels)[0]
    classes = tf.where(labels < UNLABELLED, labels - tf.cast(batch, labels.dtype), labels)
    labels = tf.where(labels == UNLABELLED, UNLABELLED - tf.cast(tf.range(batch), labels.dtype), classes)
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
    """Returns the classes of a batch and a memory, whose rows follow the images of the batch: `[batch + size]` each.

    Args:
      labels: `[batch]`, as for `image_classes`.
      memory: its labels are class numbers `[size]`; rows that are not valid count as unlabelled.

    Returns:
      The classes, whose `size` counts images of the batch only; the number of valid rows of the memory in each class,
      `[batch + size]` int32.
    """
    memory_labels = tf.where(memory.valid, memory.labels, UNLABELLED)
    dtype = tf.int64 if tf.int64 in (labels.dtype, memory_labels.dtype) else tf.int32
    classes = image_classes(tf.concat([tf.cast(labels, dtype), tf.cast(memory_labels, dtype)], axis=0))
    classes_of_memory = classes.number[size_of(labels, 0) :]
    sizes = tf.math.unsorted_segment_sum(tf.cast(memory.valid, tf.int32), classes_of_memory, tf.size(classes.number))
    in_memory = tf.gather(sizes, classes.number)
    return classes._replace(size=classes.size - in_memory), in_memory

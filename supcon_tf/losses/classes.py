"""From labels to what the loss needs to know of each image's class."""

from typing import ContextManager, List, NamedTuple, Optional

import tensorflow as tf

from supcon_tf.losses.tiles import Size, size_of

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


def class_indices(labels: tf.Tensor, batch: Size) -> tf.Tensor:
    """Labels as `[batch]` int32, or int64 if they are that; −1 for unlabelled.

    Args:
      labels: `[batch]` or `[batch, 1]` whole numbers, or one-hot `[batch, classes]`, zeros for unlabelled.
      batch: how many images there are.

    Raises:
      ValueError: a type or shape that does not fit.
      InvalidArgumentError: a row that is neither one-hot nor zeros, a number that is not whole, or another number of
        labels than of images, where shapes did not tell. Not under XLA, which cannot raise.
    """
    labels = tf.convert_to_tensor(labels)
    if not (labels.dtype.is_integer or labels.dtype.is_floating or labels.dtype.is_bool):
        raise ValueError(f"labels must be numbers, not {labels.dtype.name}")
    if labels.shape.rank not in (1, 2):
        raise ValueError(f"labels must be [batch], [batch, 1] or one-hot [batch, classes], not {labels.shape}")
    given = size_of(labels, 0)
    if isinstance(given, int) and isinstance(batch, int) and given != batch:
        raise ValueError(f"{given} labels for {batch} images")
    checks = [tf.debugging.assert_equal(given, batch, message="as many labels as images are needed")]
    if labels.shape.rank == 2 and labels.shape[1] != 1:
        is_class = labels if labels.dtype.is_bool else labels != 0
        classes = tf.math.count_nonzero(is_class, axis=1, dtype=tf.int32)
        message = "labels [batch, classes] must be one-hot: an image has one class, or none (zeros)"
        checks.append(tf.debugging.assert_less_equal(classes, 1, message=message))
        with _after(checks):
            return tf.where(classes == 0, UNLABELLED, tf.argmax(tf.cast(is_class, tf.int32), 1, tf.int32))
    labels = tf.reshape(labels, [-1])
    if labels.dtype.is_floating:
        checks.append(tf.debugging.assert_equal(labels, tf.round(labels), message="labels must be whole numbers"))
    with _after(checks):
        return tf.cast(labels, tf.int64 if labels.dtype in (tf.int64, tf.uint32, tf.uint64) else tf.int32)


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


def _after(checks: List[Optional[tf.Operation]]) -> ContextManager[None]:
    """Makes graphs wait for checks; eager ones are None and have passed."""
    return tf.control_dependencies([check for check in checks if check is not None])

"""Labels in the one form that models and losses compute with."""

from typing import ContextManager, List, Optional

import tensorflow as tf

from supcon_tf.shapes import Size, size_of

UNLABELLED = -1


def class_indices(labels: tf.Tensor, batch: Size) -> tf.Tensor:
    """Returns labels as class numbers `[batch]`, int32 or int64; −1 is an unlabelled image.

    >>> class_indices(tf.constant([[0, 1], [1, 0], [0, 0]]), 3).numpy().tolist()
    [1, 0, -1]

    Args:
      labels: whole numbers `[batch]` or `[batch, 1]`, or one-hot `[batch, classes]` with zeros for unlabelled.
      batch: number of images.

    Raises:
      ValueError: the type or the shape does not fit.
      InvalidArgumentError: a row is neither one-hot nor zeros, a number is not whole, or the numbers of labels and
        images differ where static shapes did not tell. XLA cannot raise and does not check.
    """
    labels = tf.convert_to_tensor(labels)
    if not (labels.dtype.is_integer or labels.dtype.is_floating or labels.dtype.is_bool):
        raise ValueError(f"labels must be numbers, not {labels.dtype.name}")
    if labels.shape.rank not in (1, 2):
        raise ValueError(f"labels must be [batch], [batch, 1] or one-hot [batch, classes], not {labels.shape}")
    given = size_of(labels, 0)
    if isinstance(given, int) and isinstance(batch, int) and given != batch:
        raise ValueError(f"{given} labels for {batch} images")
    checks = [tf.debugging.assert_equal(given, batch, message="the numbers of labels and images must be equal")]
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


def _after(checks: List[Optional[tf.Operation]]) -> ContextManager[None]:
    """Makes a graph wait for checks; an eager check is None and has passed."""
    return tf.control_dependencies([check for check in checks if check is not None])

"""What a loss is given, `y_true`, `y_pred` and a memory, in the one form that the losses compute with."""

from typing import ContextManager, List, NamedTuple, Optional

import tensorflow as tf

from supcon_tf.losses.tiles import Size, size_of

UNLABELLED = -1


class Memory(NamedTuple):
    """Projections of the past, which every anchor is held against beside the batch.

    Attributes:
      projections: `[size, dim]`.
      labels: `[size]` integers; −1 for unlabelled.
      valid: `[size]` bool; False for a row that is to be left out, as one that is not filled yet.
    """

    projections: tf.Tensor
    labels: tf.Tensor
    valid: tf.Tensor


def projections_by_view(projections: tf.Tensor, normalize: bool) -> tf.Tensor:
    """Projections as `[batch, views, dim]` float32.

    Args:
      projections: the same, or `[batch, dim]` for one view; of any type.
      normalize: whether to L2-normalise them.

    Raises:
      ValueError: another shape.
    """
    given = tf.cast(projections, tf.float32)
    by_view = given[:, tf.newaxis, :] if given.shape.rank == 2 else given
    if by_view.shape.rank != 3:
        raise ValueError(f"projections must be [batch, views, dim] or [batch, dim], not {given.shape}")
    return tf.math.l2_normalize(by_view, axis=-1) if normalize else by_view


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


def contrasts_of_memory(memory: Memory, dim: int, normalize: bool) -> Memory:
    """A memory with projections in float32; where it is not valid, they are zeros and the label is −1.

    Args:
      memory: as the user gives it, but for labels as `class_indices` returns them.
      dim: of the batch's projections.
      normalize: whether to L2-normalise its projections.

    Raises:
      ValueError: shapes or types that don't fit.
    """
    projections, valid = tf.convert_to_tensor(memory.projections), tf.convert_to_tensor(memory.valid)
    if projections.shape.rank != 2 or projections.shape[1] != dim:
        raise ValueError(f"projections of the memory must be [size, {dim}], as the batch's, not {projections.shape}")
    if valid.dtype != tf.bool or not valid.shape.is_compatible_with(projections.shape[:1]):
        raise ValueError(f"valid must be bool {projections.shape[:1]}, not {valid.dtype.name} {valid.shape}")
    projections = tf.where(valid[:, tf.newaxis], projections, 0)
    return Memory(
        projections_by_view(projections, normalize)[:, 0],
        tf.where(valid, memory.labels, UNLABELLED),
        valid,
    )


def _after(checks: List[Optional[tf.Operation]]) -> ContextManager[None]:
    """Makes graphs wait for checks; eager ones are None and have passed."""
    return tf.control_dependencies([check for check in checks if check is not None])

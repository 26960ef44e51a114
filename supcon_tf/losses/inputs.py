"""What a loss is given, `y_true`, `y_pred` and a memory, in the one form that the losses compute with."""

from typing import NamedTuple

import tensorflow as tf

from supcon_tf.batch import UNLABELLED


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

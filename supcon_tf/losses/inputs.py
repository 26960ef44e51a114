"""Brings projections and memory into the one form that the losses compute with."""

from typing import NamedTuple

import tensorflow as tf

from supcon_tf.errors import NAME_ONLY, ArgumentError
from supcon_tf.keras_version import SymbolicTensor


class Memory(NamedTuple):
    """Holds past projections, such as MoCo's queue (He et al., 2020), equal on every replica.

    Valid rows belong to A(i) of every anchor, and to P(i) if they have the anchor's label. They are no anchors and get
    no gradient.

    >>> from supcon_tf.losses import supervised_contrastive_loss
    >>> memory = Memory(tf.constant([[1.0, 0.0]]), labels=tf.constant([0]), valid=tf.constant([True]))
    >>> projections = tf.constant([[[1.0, 0.0], [0.0, 1.0]]])
    >>> print(supervised_contrastive_loss(tf.constant([0]), projections, 1.0, memory=memory).numpy().round(4))
    [0.7532]

    Attributes:
      projections: `[size, dim]`.
      labels: `[size]` integers; −1 for unlabelled.
      valid: `[size]` bool; False leaves a row out, for example one that is not filled yet.
    """

    projections: tf.Tensor
    labels: tf.Tensor
    valid: tf.Tensor


def check_concrete(projections: object) -> None:
    """Raises ArgumentError for a symbolic tensor of Keras, such as a model's `output`."""
    if isinstance(projections, SymbolicTensor):
        problem = "a symbolic Keras tensor has no loss: give the loss to compile(), or call it in a layer"
        raise ArgumentError("y_pred", NAME_ONLY, problem)


@tf.autograph.experimental.do_not_convert
def projections_by_view(projections: tf.Tensor, normalize: bool) -> tf.Tensor:
    """Returns projections as `[batch, views, dim]` float32.

    Args:
      projections: `[batch, views, dim]`, or `[batch, dim]` for one view; of any type.
      normalize: whether to L2-normalise them.

    Raises:
      ArgumentError: the shape does not fit.
    """
    check_concrete(projections)
    given = tf.cast(projections, tf.float32)
    by_view = given[:, tf.newaxis, :] if given.shape.rank == 2 else given
    if by_view.shape.rank != 3:
        problem = f"must be [batch, views, dim] or [batch, dim], not of shape {given.shape}"
        raise ArgumentError("projections", NAME_ONLY, problem)
    return tf.math.l2_normalize(by_view, axis=-1) if normalize else by_view


@tf.autograph.experimental.do_not_convert
def contrasts_of_memory(memory: Memory, dim: int, normalize: bool) -> Memory:
    """Returns a memory with projections in float32, which are zeros where it is not valid.

    Args:
      memory: the memory as the user gives it.
      dim: dimension of the batch's projections.
      normalize: whether to L2-normalise its projections.

    Raises:
      ArgumentError: shapes or types do not fit.
    """
    projections, valid = tf.convert_to_tensor(memory.projections), tf.convert_to_tensor(memory.valid)
    if projections.shape.rank != 2 or projections.shape[1] != dim:
        problem = f"its projections must be [size, {dim}], like the batch's, not of shape {projections.shape}"
        raise ArgumentError("memory", NAME_ONLY, problem)
    if valid.dtype != tf.bool or not valid.shape.is_compatible_with(projections.shape[:1]):
        problem = f"its valid must be bool {projections.shape[:1]}, not {valid.dtype.name} {valid.shape}"
        raise ArgumentError("memory", NAME_ONLY, problem)
    projections = tf.where(valid[:, tf.newaxis], projections, 0)
    return Memory(projections_by_view(projections, normalize)[:, 0], memory.labels, valid)

"""Sizes of tensors: a Python number where the graph is built for one shape, otherwise a scalar tensor."""

from typing import Union

import tensorflow as tf

Size = Union[int, tf.Tensor]  # a tensor is a scalar int32


def size_of(tensor: tf.Tensor, axis: int) -> Size:
    """Returns the length of an axis.

    >>> size_of(tf.zeros([3, 4]), 0)
    3
    """
    size = tensor.shape[axis]
    return tf.shape(tensor)[axis] if size is None else size


def is_zero(size: Size) -> bool:
    """Tells whether the size is known to be 0."""
    return isinstance(size, int) and size == 0


def minimum(a: Size, b: Size) -> Size:
    """Returns the smaller size, a number if both are."""
    return min(a, b) if isinstance(a, int) and isinstance(b, int) else tf.minimum(a, b)


def maximum(a: Size, b: Size) -> Size:
    """Returns the larger size, a number if both are."""
    return max(a, b) if isinstance(a, int) and isinstance(b, int) else tf.maximum(a, b)

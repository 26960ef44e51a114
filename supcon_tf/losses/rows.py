"""Cuts rows of projections into blocks of equal size."""

from typing import NamedTuple, Sequence

import tensorflow as tf

from supcon_tf.shapes import Size, is_zero, maximum, size_of


class Rows(NamedTuple):
    """Holds rows of the batch or of a memory, cut into blocks of equal size.

    Attributes:
      projections: array of blocks `[rows, dim]`, which copies nothing when it is read; zeros in the padding.
      index: `[blocks, rows]` int32, the row's place in the batch, where a memory follows; −1 for a row that is absent.
      marks: `[blocks, rows, marks]` int32, the numbers that decide which pairs are positives; the class first.
      length: number of rows without padding.
      some_absent: whether rows outside the padding may be absent too.
    """

    projections: tf.TensorArray
    index: tf.Tensor
    marks: tf.Tensor
    length: Size
    some_absent: bool

    @property
    def blocks(self) -> Size:
        return size_of(self.index, 0)

    @property
    def rows(self) -> Size:
        return size_of(self.index, 1)

    @property
    def may_have_gaps(self) -> bool:
        """Tells whether an index may be −1."""
        sizes = (self.blocks, self.rows, self.length)
        is_known = all(isinstance(size, int) for size in sizes)
        return self.some_absent or not is_known or self.blocks * self.rows != self.length


def cut(values: tf.Tensor, blocks: Size, rows: Size, padding: int = 0) -> tf.Tensor:
    """`[length, ...]` → `[blocks, rows, ...]`."""
    missing = blocks * rows - size_of(values, 0)
    if not is_zero(missing):
        values = tf.pad(values, [[0, missing]] + [[0, 0]] * (values.shape.rank - 1), constant_values=padding)
    return tf.reshape(values, [blocks, rows, *values.shape[1:]])


def join(blocks: tf.Tensor, length: Size) -> tf.Tensor:
    """`[blocks, rows, ...]` → `[length, ...]`, without the padding."""
    return tf.reshape(blocks, [-1, *blocks.shape[2:]])[:length]


def make_rows(
    projections: tf.Tensor, index: tf.Tensor, marks: tf.Tensor, largest_block: Size, *, some_absent: bool = False
) -> Rows:
    """Cuts rows into as few blocks as `largest_block` allows, of equal size.

    Args:
      projections: `[length, dim]`.
      index: `[length]` int32; −1 for a row that is absent.
      marks: `[length, marks]` int32.
      largest_block: number of rows in a block, at most.
      some_absent: whether a row may be absent.
    """
    length = size_of(index, 0)
    blocks = maximum(-(-length // largest_block), 1)
    rows = maximum(-(-length // blocks), 1)  # also in an empty batch, which a replica may get at the end of an epoch
    padded = (
        make_array(blocks, [rows, projections.shape[1]]).unstack(cut(projections, blocks, rows)),
        cut(index, blocks, rows, padding=-1),
        cut(marks, blocks, rows, padding=-1),
    )
    return Rows(*padded, length, some_absent)


def make_array(length: Size, shape: Sequence[Size]) -> tf.TensorArray:
    """Makes an array whose tensors are read and written many times, in place."""
    static = [size if isinstance(size, int) else None for size in shape]
    return tf.TensorArray(tf.float32, length, element_shape=static, clear_after_read=False)

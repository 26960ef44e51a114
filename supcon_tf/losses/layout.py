"""Gathers the rows of a step from all replicas, sorts them by class and cuts them into blocks.

Rows are divided by √τ on the way in, so that z_i·z_j is s_ij. Both sides of a product are scaled alike, so s_ij and
s_ji are equal to the last bit on any replica.
"""

from typing import NamedTuple, Optional, Tuple

import tensorflow as tf

from supcon_tf.distribute import gather, local_slice_start
from supcon_tf.losses import variants
from supcon_tf.losses.classes import ImageClasses, classes_with_memory, image_classes
from supcon_tf.losses.devices import default_tile_size
from supcon_tf.losses.inputs import Memory
from supcon_tf.losses.rows import Rows, make_rows
from supcon_tf.losses.variants import LossVariant
from supcon_tf.shapes import Size, size_of


class AnchorCounts(NamedTuple):
    """Holds the counts of this replica's anchors, sorted by class, `[own rows]` each.

    Attributes:
      positives: |P(i)| float32, at least 1.
      has_denominator: whether the denominator has a term, bool.
      counted: whether L_i counts, bool.
    """

    positives: tf.Tensor
    has_denominator: tf.Tensor
    counted: tf.Tensor


class Layout(NamedTuple):
    """Holds the rows of a step; projections are divided by √τ.

    Attributes:
      own, others, memory: the rows of this replica, of the other replicas and of the memory, sorted by class and cut.
      own_projections: `[own rows, dim]`, sorted by class.
      all_projections: `[rows of all replicas, dim]`, in the order of the batch.
      memory_projections: `[size, dim]`, in the order of the memory; None without one.
      to_sorted: place in this replica's batch of each sorted own row.
      from_sorted: place among the sorted own rows of each row of this replica's batch.
      others_index: place in the global batch of each sorted row of the other replicas; None with one replica.
      class_of_own, class_of_all, class_of_memory: class of each row of the projections above.
      classes: number of classes, at most.
      anchors: the counts of this replica's anchors.
    """

    own: Rows
    others: Optional[Rows]
    memory: Optional[Rows]
    own_projections: tf.Tensor
    all_projections: tf.Tensor
    memory_projections: Optional[tf.Tensor]
    to_sorted: tf.Tensor
    from_sorted: tf.Tensor
    others_index: Optional[tf.Tensor]
    class_of_own: tf.Tensor
    class_of_all: tf.Tensor
    class_of_memory: Optional[tf.Tensor]
    classes: tf.Tensor
    anchors: AnchorCounts

    @property
    def has_gaps(self) -> bool:
        """Tells whether rows may be absent."""
        return any(rows is not None and rows.may_have_gaps for rows in (self.own, self.others, self.memory))


def make_layout(
    rows: tf.Tensor,
    labels: tf.Tensor,
    views: Size,
    temperature: tf.Tensor,
    variant: LossVariant,
    tile_size: Optional[int],
    memory: Optional[Memory],
) -> Layout:
    """Gathers, sorts and cuts the rows; arguments as for `engine.forward`."""
    all_rows, all_labels = gather(rows), gather(labels)
    scaled = all_rows / tf.sqrt(temperature)
    images = size_of(all_labels, 0)
    classes, in_memory, order, memory_order = _sort(all_labels, images, memory)

    batch = size_of(labels, 0)
    start = local_slice_start(batch)
    own, others = order, None
    if all_rows is not rows:
        own, others = _split(order, (order >= start) & (order < start + batch), batch)
    index = _rows_of(own, views)
    others_index = None if others is None else _rows_of(others, views)
    to_sorted = index - start * views
    class_of_all = tf.repeat(classes.number if memory is None else classes.number[:images], views)

    marks = tf.stack([classes.number, classes.rank, classes.size], axis=1)
    side = tile_size or default_tile_size(size_of(rows, 0))
    own_projections = tf.gather(scaled, index)
    own_rows = make_rows(own_projections, index, tf.gather(marks, index // views), side)
    largest_block = side * side // own_rows.rows  # the fewer own rows, the more columns make a tile of usual size
    other_rows, memory_rows, memory_projections = None, None, None
    if others_index is not None:
        other_marks = tf.gather(marks, others_index // views)
        other_rows = make_rows(tf.gather(scaled, others_index), others_index, other_marks, largest_block)
    if memory is not None:
        memory_projections = memory.projections / tf.sqrt(temperature)
        memory_rows = _rows_of_memory(
            memory_projections, memory.valid, memory_order, images, views, marks, largest_block
        )
    return Layout(
        own_rows,
        other_rows,
        memory_rows,
        own_projections,
        scaled,
        memory_projections,
        to_sorted,
        tf.argsort(to_sorted),
        others_index,
        tf.gather(class_of_all, index),
        class_of_all,
        None if memory is None else classes.number[images:],
        tf.size(classes.number),
        _count(variant, classes, index // views, images, views, in_memory, memory),
    )


def sum_of_class(layout: Layout, values: tf.Tensor, class_of_value: tf.Tensor) -> tf.Tensor:
    """Returns the sum of `values` `[rows of all replicas, dim]`, or of a memory, over the class of each own row."""
    sums = tf.math.unsorted_segment_sum(values, class_of_value, layout.classes)
    return tf.gather(sums, layout.class_of_own)


def _sort(
    labels: tf.Tensor, images: Size, memory: Optional[Memory]
) -> Tuple[ImageClasses, Optional[tf.Tensor], tf.Tensor, Optional[tf.Tensor]]:
    """Returns the classes, their numbers of valid rows of the memory, and the order of images and of the memory.

    The rows of a memory are numbered like images that follow those of the batch.
    """
    if memory is None:
        classes = image_classes(labels)
        return classes, None, classes.order, None
    classes, in_memory = classes_with_memory(labels, memory)
    return (classes, in_memory, *_split(classes.order, classes.order < images, images))


def _rows_of_memory(
    projections: tf.Tensor,
    valid: tf.Tensor,
    order: tf.Tensor,
    images: Size,
    views: Size,
    marks: tf.Tensor,
    largest_block: Size,
) -> Rows:
    place = order - images
    index = tf.where(tf.gather(valid, place), images * views + place, -1)
    return make_rows(tf.gather(projections, place), index, tf.gather(marks, order), largest_block, some_absent=True)


def _count(
    variant: LossVariant,
    classes: ImageClasses,
    image_index: tf.Tensor,
    images: Size,
    views: Size,
    in_memory: Optional[tf.Tensor],
    memory: Optional[Memory],
) -> AnchorCounts:
    """Counts for each own row, which is a view of the image `image_index`."""
    class_in_memory: Size = 0
    valid: Size = 0
    if memory is not None:
        class_in_memory = tf.gather(in_memory, image_index)
        valid = tf.math.count_nonzero(memory.valid, dtype=tf.int32)
    size = tf.gather(classes.size, image_index)
    positives, in_denominator, counted = variants.counts(variant, size, images, views, class_in_memory, valid)
    return AnchorCounts(tf.cast(tf.maximum(positives, 1), tf.float32), in_denominator > 0, counted)


def _rows_of(images: tf.Tensor, views: Size) -> tf.Tensor:
    """Returns the places of all views of the images."""
    return tf.reshape(images[:, tf.newaxis] * views + tf.range(views), [-1])


def _split(images: tf.Tensor, is_first: tf.Tensor, number: Size) -> Tuple[tf.Tensor, tf.Tensor]:
    """Returns the `number` images for which `is_first` is true, and the others, both in the given order."""
    first_ones_first = tf.gather(images, tf.argsort(tf.where(is_first, 0, 1), stable=True))
    return first_ones_first[:number], first_ones_first[number:]

"""Numbers to compare the loss with, which show whether a contrastive model learns."""

from typing import Dict, Optional

import tensorflow as tf

from supcon_tf.batch import UNLABELLED
from supcon_tf.distribute import gather, local_slice_start
from supcon_tf.losses.classes import classes_with_memory, image_classes
from supcon_tf.losses.inputs import Memory
from supcon_tf.losses.variants import LossVariant, counts
from supcon_tf.shapes import Size, size_of


def label_diagnostics(
    labels: tf.Tensor, views: Size, variant: LossVariant, memory: Optional[Memory] = None
) -> Dict[str, tf.Tensor]:
    """Returns float32 scalars that need the labels only.

    Args:
      labels: class numbers `[batch]` of this replica's images, −1 for unlabelled.
      views: number of views of each image.
      variant: chooses the loss.
      memory: its labels are class numbers `[size]`.

    Returns:
      `collapsed_loss`: the mean unscaled loss of this replica's anchors if all projections are equal. For N projections
      in the global batch and the memory, that is log(N − 1) if the denominator is over all and every anchor has
      positives.
      `anchors_with_positives`: share of this replica's anchors that have a positive; 1 with several views.
      `images_with_classmates`: share of this replica's labelled images whose class is also that of another image of the
      global batch, or of a valid row of the memory; 0 if none is labelled.
    """
    batch = size_of(labels, 0)
    start = local_slice_start(batch)

    def own(values: tf.Tensor) -> tf.Tensor:  # values[start:end] has no static length under XLA
        return tf.slice(values, [start], [batch])

    all_labels = gather(labels)
    in_memory: Size = 0
    valid: Size = 0
    if memory is None:
        classes = image_classes(all_labels)
    else:
        classes, in_memory = classes_with_memory(all_labels, memory)
        in_memory, valid = own(in_memory), tf.math.count_nonzero(memory.valid, dtype=tf.int32)
    in_batch = own(classes.size)
    positives, in_denominator, counted = counts(variant, in_batch, size_of(all_labels, 0), views, in_memory, valid)
    if variant.denominator == "one_positive":
        in_denominator += 1
    collapsed = tf.where(counted, tf.math.log(tf.cast(tf.maximum(in_denominator, 1), tf.float32)), 0.0)
    with_classmates = tf.cast(in_batch + in_memory > 1, tf.float32)
    labelled = tf.cast(labels != UNLABELLED, tf.float32)
    return {
        "collapsed_loss": tf.reduce_mean(collapsed),
        "anchors_with_positives": tf.reduce_mean(tf.cast(positives > 0, tf.float32)),
        "images_with_classmates": tf.math.divide_no_nan(
            tf.reduce_sum(labelled * with_classmates), tf.reduce_sum(labelled)
        ),
    }

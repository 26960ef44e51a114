"""Weighs a replica's mean loss by its share of the images, where Keras weighs each replica equally."""

from typing import Any, Union

import tensorflow as tf

from supcon_tf.distribute import gather
from supcon_tf.shapes import Size


@tf.autograph.experimental.do_not_convert
def relative_share(images: Size, loss: Any) -> Union[float, tf.Tensor]:
    """Returns this replica's number of images over the mean number of all replicas; 1 for one replica.

    The mean loss of a replica times this, averaged over the replicas, is the mean over the global batch. A last batch
    may leave a replica fewer images than another.

    Args:
      images: number of this replica's images. If it is static, all replicas have the same.
      loss: the loss of the model. For one that adds up over images, the share is 1.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1 or isinstance(images, int):
        return 1.0
    if getattr(loss, "reduction", "auto") not in ("auto", "sum_over_batch_size"):
        return 1.0
    numbers = tf.cast(gather(tf.reshape(images, [1])), tf.float32)
    return tf.math.divide_no_nan(tf.cast(images, tf.float32), tf.reduce_mean(numbers))

"""Gathers tensors over the replicas of a step."""

import tensorflow as tf


def gather(x: tf.Tensor) -> tf.Tensor:
    """Concatenates `x` over all replicas, in the order of the replicas.

    The gradient with respect to `x` is the sum, over all replicas, of the gradients of this replica's rows. Outside a
    replica, or with one replica only, `x` is returned unchanged.

    Args:
      x: `[local_batch, ...]`; `local_batch` may differ between replicas.

    Returns:
      `[global_batch, ...]`, equal on every replica.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return x
    # TensorFlow gathers to the device of its argument, and a step's input has no device yet; `identity` gives it one.
    gathered = context.all_gather(tf.identity(x), axis=0)
    gathered.set_shape([None, *x.shape[1:]])  # some strategies lose the static shape
    return gathered


def local_slice_start(local_batch: tf.Tensor) -> tf.Tensor:
    """Returns the first row of this replica in the result of `gather`.

    Args:
      local_batch: number of rows on this replica, a scalar integer.

    Returns:
      A scalar int32.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return tf.constant(0)
    replica = tf.cast(context.replica_id_in_sync_group, tf.int32)
    owners = gather(tf.fill([local_batch], replica))
    return tf.reduce_sum(tf.cast(owners < replica, tf.int32))

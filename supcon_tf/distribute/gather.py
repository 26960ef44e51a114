"""What the replicas of a step tell each other."""

import tensorflow as tf


def gather(x: tf.Tensor) -> tf.Tensor:
    """Concatenates `x` over all replicas, in the order of the replicas.

    The gradient of the result with respect to `x` is the sum, over all replicas, of what flows back to this replica's
    rows. Outside a replica, or with one replica only, `x` is returned as it is.

    Args:
      x: `[local_batch, ...]`; `local_batch` may differ between replicas.

    Returns:
      `[global_batch, ...]`, equal on every replica.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return x
    # A step's input belongs to no device yet, and TensorFlow gathers to the device of what it is given.
    gathered = context.all_gather(tf.identity(x), axis=0)
    gathered.set_shape([None, *x.shape[1:]])  # which some strategies lose
    return gathered


def local_slice_start(local_batch: tf.Tensor) -> tf.Tensor:
    """Where this replica's rows begin in what `gather` returns.

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

"""Gathers tensors over the replicas of a step."""

from typing import Union

import tensorflow as tf


@tf.autograph.experimental.do_not_convert
def gather(x: tf.Tensor) -> tf.Tensor:
    """Concatenates `x` over all replicas, in the order of the replicas.

    The gradient with respect to `x` is the sum, over all replicas, of the gradients of this replica's rows. Outside a
    replica, or with one replica only, `x` is returned unchanged.

    Args:
      x: `[local_batch, ...]`; `local_batch` may differ between replicas, except where XLA compiles each replica's
        function by itself, on several GPUs.

    Returns:
      `[global_batch, ...]`, equal on every replica.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return x
    if not context.strategy.extended._use_merge_call():
        return _gather_by_sum(x, context)
    # TensorFlow gathers to the device of its argument, and a step's input has no device yet; `identity` gives it one.
    gathered = context.all_gather(tf.identity(x), axis=0)
    gathered.set_shape([None, *x.shape[1:]])  # some strategies lose the static shape
    return gathered


@tf.autograph.experimental.do_not_convert
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
    replica = _replica(context)
    owners = gather(tf.fill([local_batch], replica))
    return tf.reduce_sum(tf.cast(owners < replica, tf.int32))


def _gather_by_sum(x: tf.Tensor, context: tf.distribute.ReplicaContext) -> tf.Tensor:
    """Gathers by a sum over replicas of `x` among zeros, which is exact, as is its gradient.

    `all_gather` needs replicas that meet in Python. Functions that XLA compiles for each replica do not meet.
    """
    rows: Union[int, tf.Tensor] = x.shape[0] if x.shape[0] is not None else tf.shape(x)[0]
    replicas = context.num_replicas_in_sync
    own = tf.range(replicas) == _replica(context)
    own = tf.reshape(own, [replicas, *[1] * x.shape.rank])
    padded = tf.where(own, x[tf.newaxis], tf.zeros_like(x)[tf.newaxis])
    summed = context.all_reduce(tf.distribute.ReduceOp.SUM, padded)
    return tf.reshape(summed, [replicas * rows, *x.shape[1:]])


def _replica(context: tf.distribute.ReplicaContext) -> tf.Tensor:
    return tf.cast(context.replica_id_in_sync_group, tf.int32)

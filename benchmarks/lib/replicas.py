"""The loss of one of several replicas, without the others."""

from typing import Any

import tensorflow as tf

from supcon_tf.losses import engine


def pretend_replicas(replicas: int, projections: Any, labels: Any) -> None:
    """Lets the loss be that of the first of several replicas, which finds at hand what it would gather.

    Args:
      replicas: how many.
      projections: `[batch, views, dim]` of all of them.
      labels: `[batch]` of all of them.
    """
    dim = projections.shape[-1]
    all_rows = tf.math.l2_normalize(tf.reshape(projections, [-1, dim]), axis=-1)
    all_labels = tf.constant(labels)

    def gather(x: tf.Tensor) -> tf.Tensor:
        if x.shape.rank == 1:
            return all_labels
        return all_rows if x.shape[1] == dim else tf.tile(x, [replicas, 1])

    def local_slice_start(local_batch: Any) -> Any:
        return 0

    engine.gather = gather
    engine.local_slice_start = local_slice_start

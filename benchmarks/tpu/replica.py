"""A replica of a TPU pod, to trace a step without the pod.

TensorFlow's TPUStrategy builds all communication, `all_gather` too, from sums over the replicas. It can lower a sum
only on a machine with a TPU. Here a sum becomes a custom call named `replica.all_reduce`, and `compile.py` replaces it
by XLA's own operation.
"""

import contextlib
from typing import Any, Callable, Iterator

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops
from tensorflow.python.distribute import distribute_lib, tpu_strategy


class PodStrategy(tf.distribute.Strategy):
    """A strategy on one device that acts as one of `replicas`."""

    def __init__(self, replicas: int) -> None:
        super().__init__(_PodExtended(self, replicas))


class _PodExtended(distribute_lib._DefaultDistributionExtended):
    def __init__(self, strategy: tf.distribute.Strategy, replicas: int) -> None:
        super().__init__(strategy)
        self._replicas = replicas

    @property
    def _num_replicas_in_sync(self) -> int:
        return self._replicas

    # Unlike the default strategy, this one can be entered.
    _scope = distribute_lib.StrategyExtendedV1._scope
    variable_created_in_scope = distribute_lib.StrategyExtendedV1.variable_created_in_scope

    def _create_variable(self, next_creator: Callable[..., tf.Variable], **arguments: Any) -> tf.Variable:
        return next_creator(**arguments)

    def _reduce_to(self, reduce_op: Any, value: tf.Tensor, destinations: Any, options: Any) -> tf.Tensor:
        """Reduces in the way of TPUStrategy."""
        if reduce_op == tf.distribute.ReduceOp.MEAN:
            value = tf.math.scalar_mul(1.0 / self._replicas, value)
        (total,) = gen_xla_ops.xla_custom_call_v2(
            [value],
            call_target_name="replica.all_reduce",
            backend_config="",
            has_side_effect=False,
            result_dtypes=[value.dtype],
            result_shapes=[value.shape],
        )
        total.set_shape(value.shape)
        return total


@contextlib.contextmanager
def replica_of(strategy: PodStrategy, number: tf.Variable) -> Iterator[None]:
    """Runs the block as a replica, with TPUStrategy's `all_gather`.

    Args:
      strategy: the strategy.
      number: number of the replica, a scalar int32. TPUStrategy makes it an input of the step too.
    """
    with tpu_strategy._TPUReplicaContext(strategy, replica_id_in_sync_group=tf.convert_to_tensor(number)):
        yield

"""A replica of a TPU pod, for tracing a step where there is no pod.

TensorFlow's own TPUStrategy makes everything that replicas tell each other of sums over all of them, its `all_gather`
too, and can only lower a sum on a machine with a TPU. Here a sum becomes a custom call named `replica.all_reduce`, and
`compile.py` puts XLA's own operation in its place.
"""

import contextlib
from typing import Any, Callable, Iterator

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops
from tensorflow.python.distribute import distribute_lib, tpu_strategy


class PodStrategy(tf.distribute.Strategy):
    """One device that takes itself for one of `replicas`."""

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
        """As TPUStrategy does it."""
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
    """Within it, code is that of a replica, whose `all_gather` is the one of TPUStrategy.

    Args:
      strategy: whose replica.
      number: which one, a scalar int32; with TPUStrategy, too, an input of the step.
    """
    with tpu_strategy._TPUReplicaContext(strategy, replica_id_in_sync_group=tf.convert_to_tensor(number)):
        yield

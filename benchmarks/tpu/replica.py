"""A replica of a TPU pod, for tracing a step where there is no pod.

TensorFlow's own TPUStrategy turns what replicas tell each other into two ops, CrossReplicaSum and AllToAll, which it
can only lower on a machine with a TPU. Here they become custom calls with these names, and `compile.py` puts XLA's own
operations in their place.
"""

import contextlib
from typing import Any, Callable, Iterator, List, Optional, Sequence
from unittest import mock

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops
from tensorflow.python.distribute import distribute_lib, tpu_strategy

ALL_REDUCE, ALL_TO_ALL = "replica.all_reduce", "replica.all_to_all"


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
        return _custom_call(ALL_REDUCE, [value], value.dtype, value.shape)


@contextlib.contextmanager
def replica_of(strategy: PodStrategy, number: tf.Variable) -> Iterator[None]:
    """Within it, code is that of a replica, whose `all_gather` is the one of TPUStrategy.

    Args:
      strategy: whose replica.
      number: which one, a scalar int32; with TPUStrategy, too, an input of the step.
    """
    context = tpu_strategy._TPUReplicaContext(strategy, replica_id_in_sync_group=tf.convert_to_tensor(number))
    with mock.patch.object(tpu_strategy.tpu_ops, "all_to_all", _all_to_all), context:
        yield


def _all_to_all(x: tf.Tensor, concat_dimension: int, split_dimension: int, split_count: int) -> tf.Tensor:
    if (concat_dimension, split_dimension) != (0, 0):
        raise NotImplementedError("only along the first axis, which is all that `gather` needs")
    del split_count
    return _custom_call(ALL_TO_ALL, [x], x.dtype, x.shape)


def _custom_call(name: str, operands: List[tf.Tensor], dtype: tf.DType, shape: Sequence[Optional[int]]) -> tf.Tensor:
    shape = tf.TensorShape(shape)
    (result,) = gen_xla_ops.xla_custom_call_v2(
        operands,
        call_target_name=name,
        backend_config="",
        has_side_effect=False,
        result_dtypes=[dtype],
        result_shapes=[shape],
    )
    result.set_shape(shape)
    return result

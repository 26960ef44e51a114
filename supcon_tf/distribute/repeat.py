"""Repeats a computation in a loop inside a step."""

from typing import Any, Callable, Sequence, Tuple, Union

import tensorflow as tf

from supcon_tf.errors import NAME_ONLY, ArgumentError

# (k, *state) → state
Body = Callable[..., Sequence[Any]]


def repeat(count: Union[int, tf.Tensor], body: Body, state: Sequence[Any], *, communicates: bool) -> Tuple[Any, ...]:
    """Runs `body` for k = 0 … `count` − 1, one after the other, in the memory of one run.

    >>> repeat(3, lambda k, total: (total + k,), (tf.constant(0),), communicates=False)
    (<tf.Tensor: shape=(), dtype=int32, numpy=3>,)

    Args:
      count: number of runs.
      body: (k, *state) → state; tensors and tensor arrays whose shapes do not change.
      state: first state.
      communicates: whether replicas exchange values in `body`. Under MirroredStrategy and MultiWorkerMirroredStrategy
        the graph then has one copy of `body` per run, unless XLA compiles for GPUs.

    Returns:
      The last state.

    Raises:
      ArgumentError: `communicates` is True, the strategy cannot communicate in a loop, and `count` is a tensor.
    """
    if communicates and _meets_in_python():
        if not isinstance(count, int):
            problem = "must be known in advance where microbatches share batch statistics over all replicas"
            raise ArgumentError("batch_size", NAME_ONLY, problem)
        for k in range(count):
            with tf.control_dependencies([x for x in state if tf.is_tensor(x)]):
                state = body(k, *state)
        return tuple(state)
    # Parallel iterations would each need memory.
    loop = tf.while_loop(
        lambda k, *_: k < count,
        lambda k, *state: (k + 1, *body(k, *state)),
        (tf.constant(0), *state),
        parallel_iterations=1,
    )
    return tuple(loop[1:])


def _meets_in_python() -> bool:
    """Returns whether replicas communicate by a meeting of the threads that build their graphs.

    Threads cannot meet while they build the body of a loop.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return False
    one_thread_each = (tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy)
    return isinstance(context.strategy, one_thread_each) and context.strategy.extended._use_merge_call()

"""A loop inside a step."""

from typing import Any, Callable, Sequence, Tuple, Union

import tensorflow as tf

# (k, *state) → state
Body = Callable[..., Sequence[Any]]


def repeat(count: Union[int, tf.Tensor], body: Body, state: Sequence[Any], *, communicates: bool) -> Tuple[Any, ...]:
    """`body` for k = 0 … `count` − 1, one after the other, so that memory is that of one.

    Args:
      count: how often.
      body: (k, *state) → state; tensors and tensor arrays of unchanging shapes.
      state: what `body` is first given.
      communicates: whether the replicas tell each other something in `body`. Under MirroredStrategy and
        MultiWorkerMirroredStrategy, unless XLA compiles for GPUs, the graph then holds `body` as often as it is done.

    Returns:
      The last state.

    Raises:
      ValueError: `communicates` under a strategy that can do this in no loop, and `count` is not known in advance.
    """
    if communicates and _meets_in_python():
        if not isinstance(count, int):
            raise ValueError("batch statistics of all replicas in microbatches need batches of a known size")
        for k in range(count):
            with tf.control_dependencies([x for x in state if tf.is_tensor(x)]):
                state = body(k, *state)
        return tuple(state)
    # Without parallel iterations: several at once would each need memory of their own.
    loop = tf.while_loop(
        lambda k, *_: k < count,
        lambda k, *state: (k + 1, *body(k, *state)),
        (tf.constant(0), *state),
        parallel_iterations=1,
    )
    return tuple(loop[1:])


def _meets_in_python() -> bool:
    """Whether replicas communicate by a meeting of the threads that build their graphs, which a loop's body can't."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return False
    one_thread_each = (tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy)
    return isinstance(context.strategy, one_thread_each) and context.strategy.extended._use_merge_call()

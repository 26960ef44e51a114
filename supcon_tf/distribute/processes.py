"""What the worker processes of a run agree on, and what becomes of them when one is lost."""

import contextlib
import os
import sys
import time
from typing import Iterator, List, Sequence

import tensorflow as tf

from supcon_tf.errors import UserError, WorkersLost

# Counts the starts of this process since a step was last done. The environment outlives `os.execv`.
FRUITLESS_STARTS = "SUPCON_TF_FRUITLESS_STARTS"
MOST_FRUITLESS_STARTS = 5

LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)
# With this TensorFlow introduces whatever ended a collective, which keeps the class of the first error.
ABORTED = "Collective ops is aborted by: "


def count_processes(strategy: tf.distribute.Strategy) -> int:
    """Number of processes that run this program together."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 1
    cluster = strategy.cluster_resolver.cluster_spec()
    return sum(cluster.num_tasks(job) for job in cluster.jobs) or 1


def steps_between_agreements(strategy: tf.distribute.Strategy, every: int) -> int:
    """After how many steps processes should agree: a process alone always, several `every` so many steps."""
    return 1 if count_processes(strategy) == 1 else every


def all_reduce_max(strategy: tf.distribute.Strategy, values: Sequence[int]) -> List[int]:
    """The largest of each value over all processes, the same on each of them.

    Every process has to call it, and waits there for the others; one that is alone has its own values back.

    Args:
      strategy: of the run.
      values: as many on each process, each less than 2²⁴.
    """
    if count_processes(strategy) == 1:
        return list(values)
    gathered = strategy.run(_gather, args=(tf.constant([values], tf.float32),))
    first = strategy.experimental_local_results(gathered)[0]
    return [int(value) for value in tf.reduce_max(first, axis=0)]


@tf.function
def _gather(row: tf.Tensor) -> tf.Tensor:
    return tf.distribute.get_replica_context().all_gather(tf.identity(row), axis=0)


@contextlib.contextmanager
def watch_workers(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Turns what TensorFlow raises where another process is gone into WorkersLost."""
    try:
        yield
    except tf.errors.OpError as error:
        if count_processes(strategy) == 1 or not (isinstance(error, LOST) or ABORTED in error.message):
            raise
        raise WorkersLost(cause_of(error)) from error


def cause_of(error: Exception) -> str:
    """The one line of a TensorFlow error that says what happened."""
    text = getattr(error, "message", str(error))
    return text.rpartition(ABORTED)[2].strip().split("\n")[0][:120]


def step_was_done() -> None:
    """Says that training has gone on since this process was started."""
    os.environ.pop(FRUITLESS_STARTS, None)


def start_again(lost: WorkersLost, argv: Sequence[str]) -> None:
    """Replaces this process by a fresh one, which waits for the other workers and continues at the last checkpoint.

    TensorFlow cannot mend a cluster that has lost a member: all its processes must join a new one.

    Args:
      lost: why.
      argv: the command, as in `sys.argv`.

    Raises:
      UserError: that has been tried a few times, and no step was done in between.
    """
    starts = int(os.environ.get(FRUITLESS_STARTS, 0)) + 1
    if starts > MOST_FRUITLESS_STARTS:
        raise UserError(
            f"TF_CONFIG: lost the other workers {starts} times without a step in between ({lost}); "
            "see what stops them, and start the same command on each"
        )
    print(
        f"app.py: lost the other workers ({lost}); starting again at the last checkpoint", file=sys.stderr, flush=True
    )
    time.sleep(2.0 ** (starts - 1))
    os.environ[FRUITLESS_STARTS] = str(starts)
    for descriptor in os.listdir("/dev/fd"):
        # The fresh process must not inherit the port that this one listens on.
        with contextlib.suppress(OSError):
            if int(descriptor) > 2:
                os.set_inheritable(int(descriptor), False)
    os.execv(sys.executable, [sys.executable, *argv])

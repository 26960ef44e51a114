"""Reduces values over the worker processes of a run, and restarts a process whose workers are lost."""

import contextlib
import os
import sys
import time
from typing import Iterator, List, Sequence

import tensorflow as tf

from supcon_tf.errors import UserError, WorkersLost

# Number of restarts since the last step, in an environment variable because `os.execv` keeps the environment.
FRUITLESS_STARTS = "SUPCON_TF_FRUITLESS_STARTS"
MOST_FRUITLESS_STARTS = 5

LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)
# TensorFlow's prefix for the error that ended a collective. It keeps the class of that error.
ABORTED = "Collective ops is aborted by: "


def count_processes(strategy: tf.distribute.Strategy) -> int:
    """Returns the number of processes that train together."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 1
    cluster = strategy.cluster_resolver.cluster_spec()
    return sum(cluster.num_tasks(job) for job in cluster.jobs) or 1


def steps_between_syncs(strategy: tf.distribute.Strategy, every: int) -> int:
    """Returns the number of steps between two calls of `all_reduce_max`: 1 for a single process, else `every`."""
    return 1 if count_processes(strategy) == 1 else every


def all_reduce_max(strategy: tf.distribute.Strategy, values: Sequence[int]) -> List[int]:
    """Returns the maximum of each value over all processes, equal on all processes.

    Every process must call it, and waits for the others. A single process gets its own values back.

    Args:
      strategy: strategy of the run.
      values: integers between −2²⁴ and 2²⁴, equally many on each process.
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
    """Turns TensorFlow's errors about a lost process into WorkersLost."""
    try:
        yield
    except tf.errors.OpError as error:
        if count_processes(strategy) == 1 or not (isinstance(error, LOST) or ABORTED in error.message):
            raise
        raise WorkersLost(cause_of(error)) from error


def cause_of(error: Exception) -> str:
    """Returns the line of a TensorFlow error that says what happened, shortened."""
    text = getattr(error, "message", str(error))
    return text.rpartition(ABORTED)[2].strip().split("\n")[0][:120]


def step_was_done() -> None:
    """Resets the count of restarts, because this process has done a step."""
    os.environ.pop(FRUITLESS_STARTS, None)


def start_again(lost: WorkersLost, argv: Sequence[str]) -> None:
    """Replaces this process by a fresh one, which waits for the other workers and resumes at the last checkpoint.

    TensorFlow cannot repair a cluster that has lost a process; all processes must join a new one.

    Args:
      lost: the reason.
      argv: the command, as in `sys.argv`.

    Raises:
      UserError: several restarts in a row have not led to a step.
    """
    starts = int(os.environ.get(FRUITLESS_STARTS, 0)) + 1
    if starts > MOST_FRUITLESS_STARTS:
        raise UserError(
            f"TF_CONFIG: lost the other workers {starts} times without a step in between ({lost}); find out what stops "
            "them, then start the same command on each"
        )
    program = os.path.basename(argv[0])
    notice = f"{program}: lost the other workers ({lost}); starting again at the last checkpoint"
    print(notice, file=sys.stderr, flush=True)
    time.sleep(2.0 ** (starts - 1))
    os.environ[FRUITLESS_STARTS] = str(starts)
    for descriptor in os.listdir("/dev/fd"):
        # The fresh process must not inherit the port that this one listens on.
        with contextlib.suppress(OSError):
            if int(descriptor) > 2:
                os.set_inheritable(int(descriptor), False)
    os.execv(sys.executable, [sys.executable, *argv])

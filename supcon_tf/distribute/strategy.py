"""Makes a `tf.distribute` strategy from options."""

import concurrent.futures
import contextlib
import glob
import os
import signal
import subprocess
import sys
import threading
from typing import Any, Callable, Iterator, Optional

import tensorflow as tf
from tensorflow.python.client import device_lib

from supcon_tf.distribute.cluster import Cluster, read_cluster, wait_for_workers
from supcon_tf.distribute.processes import cause_of
from supcon_tf.errors import NAME_ONLY, ArgumentError, WorkersLost, first_line

TPU_TIMEOUT_SECONDS = 300.0
TPU_DEVICES = ("/dev/accel*", "/dev/vfio/[0-9]*")  # of a machine that has TPUs
WORKERS_TIMEOUT_SECONDS = 600.0  # a preempted machine needs minutes to come back
JOIN_TIMEOUT_SECONDS = 120.0
NOTICE_SECONDS = 5.0
UNSET_SEED = 87654321  # what TensorFlow combines with an operation's own seed where no global seed is set

KILLER = """
import os, select, signal, sys
if not select.select([sys.stdin], [], [], float(sys.argv[1]))[0]:
    print(sys.argv[3], file=sys.stderr, flush=True)
    os.kill(int(sys.argv[2]), signal.SIGKILL)
"""


def make_strategy(
    strategy: str = "auto",
    *,
    tpu: Optional[str] = None,
    tpu_zone: Optional[str] = None,
    tpu_project: Optional[str] = None,
    cpu_devices: int = 1,
) -> tf.distribute.Strategy:
    """Makes the strategy. Must be called before anything else uses TensorFlow's devices.

    >>> make_strategy("one_device").num_replicas_in_sync
    1

    Args:
      strategy: 'one_device', 'mirrored', 'multi_worker' (needs the environment variable TF_CONFIG), 'tpu', or 'auto' to
        decide by the other arguments and the machine.
      tpu: name or address of a TPU, or 'local'; 'auto' then means 'tpu'.
      tpu_zone: Google Cloud zone of the TPU; None for the zone of this machine.
      tpu_project: Google Cloud project of the TPU; None for the project of this machine.
      cpu_devices: number of logical devices to split the CPU into.

    Raises:
      ArgumentError: the TPU cannot be reached, or TF_CONFIG is not set.
      UserError: TF_CONFIG is malformed, or other workers are missing.
      WorkersLost: the connection to other workers was lost.
    """
    cluster = read_cluster() if strategy in ("auto", "multi_worker") else None
    gpus = tf.config.list_physical_devices("GPU")
    if strategy == "auto":
        if tpu is not None:
            strategy = "tpu"
        elif cluster is not None and len(cluster.addresses) > 1:
            strategy = "multi_worker"
        else:
            strategy = "mirrored" if len(gpus) > 1 or cpu_devices > 1 else "one_device"
    if strategy == "tpu":
        return _tpu_strategy(str(tpu), tpu_zone, tpu_project)
    if cpu_devices > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * cpu_devices)
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if strategy == "multi_worker":
        if cluster is None:
            problem = "needs the environment variable TF_CONFIG with 'cluster' and 'task'"
            raise ArgumentError("strategy", strategy, problem)
        return _multi_worker_strategy(cluster)
    if strategy == "mirrored":
        kind = "CPU" if cpu_devices > 1 or not gpus else "GPU"
        return tf.distribute.MirroredStrategy([device.name for device in tf.config.list_logical_devices(kind)])
    return tf.distribute.OneDeviceStrategy("/gpu:0" if gpus else "/cpu:0")


def make_deterministic(seed: int) -> None:
    """Makes TensorFlow use only operations whose results are equal to the bit each time, from now on in this process.

    An operation that has no such form raises an error. `seed` seeds random operations that have no seed of their own.
    """
    tf.keras.utils.set_random_seed(seed)
    tf.random.set_seed(UNSET_SEED)  # the order of the images then stays what it is without this function
    tf.config.experimental.enable_op_determinism()


def has_accelerators(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether the replicas compute on GPUs or TPUs."""
    devices = strategy.extended.worker_devices
    return any(tf.DeviceSpec.from_string(device).device_type != "CPU" for device in devices)


def accelerator_bytes(strategy: tf.distribute.Strategy) -> Optional[int]:
    """Returns the memory of the smallest GPU of this process that TensorFlow takes; None where there is no GPU."""
    limits = [device.memory_limit for device in device_lib.list_local_devices() if device.device_type == "GPU"]
    return min(limits, default=None)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether this process is the one that writes the run's files."""
    return bool(strategy.extended.should_checkpoint)


def _multi_worker_strategy(cluster: Cluster) -> tf.distribute.Strategy:
    """Joins the other workers within a time limit. TensorFlow by itself waits for an hour, or for ever."""
    wait_for_workers(cluster, notice_seconds=NOTICE_SECONDS, seconds=WORKERS_TIMEOUT_SECONDS)
    complaint = f"app.py: TF_CONFIG: the workers have not joined each other within {JOIN_TIMEOUT_SECONDS:.0f} s"
    try:
        with _killed_after(JOIN_TIMEOUT_SECONDS, f"{complaint}; start the same command on each again"):
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise WorkersLost(cause_of(error)) from error
    # TensorFlow has replaced Python's handler by one that ignores the signal.
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
    return strategy


@contextlib.contextmanager
def _killed_after(seconds: float, complaint: str) -> Iterator[None]:
    """Kills this process with `complaint` if the block takes longer than `seconds`.

    Another process does so, because no thread of this process can run while TensorFlow waits for other workers.
    """
    command = [sys.executable, "-S", "-c", KILLER, str(seconds), str(os.getpid()), complaint]
    killer = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield
    finally:
        killer.communicate()  # closes the pipe, which ends the other process; so does the death of this one


def _tpu_strategy(tpu: str, zone: Optional[str], project: Optional[str]) -> tf.distribute.Strategy:
    """Connects to a TPU within a time limit. TensorFlow by itself may retry for many minutes."""

    def connect() -> tf.distribute.cluster_resolver.ClusterResolver:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu, zone=zone, project=project)
        if tpu != "local":
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return resolver

    try:
        resolver = _patiently(connect, TPU_TIMEOUT_SECONDS, f"Connecting to TPU {tpu} ...")
    except concurrent.futures.TimeoutError:
        problem = f"no answer within {TPU_TIMEOUT_SECONDS:.0f} s; check its name, and that it is running"
        raise ArgumentError("tpu", tpu, problem) from None
    except Exception as error:  # any error here means that the TPU does not exist
        problem = f"cannot be reached ({first_line(error, 120)}); check its name, or leave {{tpu}} out"
        if tpu == "local" and not any(map(glob.glob, TPU_DEVICES)):
            problem = "this machine has no TPU; give the name of one, or leave {tpu} out"
        raise ArgumentError("tpu", tpu, problem, tpu=NAME_ONLY) from None
    return tf.distribute.TPUStrategy(resolver)


def _patiently(connect: Callable[[], Any], seconds: float, notice: str) -> Any:
    """Returns the result of `connect`, and prints `notice` on stderr if it takes longer than `NOTICE_SECONDS`.

    `connect` runs in a thread that is left behind on a timeout, because a call of TensorFlow cannot be ended.

    Raises:
      TimeoutError: `connect` has not returned within `seconds`.
    """
    outcome: concurrent.futures.Future = concurrent.futures.Future()

    def run() -> None:
        try:
            outcome.set_result(connect())
        except Exception as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    soon = min(NOTICE_SECONDS, seconds)
    if not concurrent.futures.wait([outcome], soon).done:
        print(notice, file=sys.stderr, flush=True)
    if not concurrent.futures.wait([outcome], seconds - soon).done:
        raise concurrent.futures.TimeoutError
    return outcome.result()

"""From flags to a `tf.distribute` strategy."""

import concurrent.futures
import contextlib
import os
import signal
import subprocess
import sys
import threading
from typing import Any, Callable, Iterator, Optional

import tensorflow as tf

from supcon_tf.distribute.cluster import Cluster, meet, read_cluster
from supcon_tf.distribute.processes import cause_of
from supcon_tf.errors import UserError, WorkersLost

TPU_TIMEOUT_SECONDS = 300.0
WORKERS_TIMEOUT_SECONDS = 600.0  # a machine that was taken away needs minutes to come back
JOIN_TIMEOUT_SECONDS = 120.0
NOTICE_SECONDS = 5.0

KILLER = """
import os, select, signal, sys
if not select.select([sys.stdin], [], [], float(sys.argv[1]))[0]:
    print(sys.argv[3], file=sys.stderr, flush=True)
    os.kill(int(sys.argv[2]), signal.SIGKILL)
"""


def make_strategy(
    name: str = "auto",
    *,
    tpu: Optional[str] = None,
    tpu_zone: Optional[str] = None,
    tpu_project: Optional[str] = None,
    cpu_devices: int = 1,
) -> tf.distribute.Strategy:
    """The strategy that the flags ask for. Call it before anything else touches TensorFlow's devices.

    Args:
      name: 'one_device', 'mirrored', 'multi_worker' (from the environment variable TF_CONFIG), 'tpu', or 'auto':
        whichever of these the flags and the machine suggest.
      tpu: name or address of a TPU, or 'local'; implies 'tpu'.
      tpu_zone: Google Cloud zone of the TPU; None for the machine's own.
      tpu_project: Google Cloud project of the TPU; None for the machine's own.
      cpu_devices: number of logical devices to split the CPU into.

    Raises:
      UserError: the hardware that the flags name is not there, or other workers do not come.
      WorkersLost: they came and went.
    """
    cluster = read_cluster() if name in ("auto", "multi_worker") else None
    gpus = tf.config.list_physical_devices("GPU")
    if name == "auto":
        if tpu is not None:
            name = "tpu"
        elif cluster is not None and len(cluster.addresses) > 1:
            name = "multi_worker"
        else:
            name = "mirrored" if len(gpus) > 1 or cpu_devices > 1 else "one_device"
    if name == "tpu":
        return _tpu_strategy(str(tpu), tpu_zone, tpu_project)
    if cpu_devices > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * cpu_devices)
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if name == "multi_worker":
        if cluster is None:
            raise UserError(
                "--strategy=multi_worker: needs the environment variable TF_CONFIG with 'cluster' and 'task'"
            )
        return _multi_worker_strategy(cluster)
    if name == "mirrored":
        kind = "CPU" if cpu_devices > 1 or not gpus else "GPU"
        return tf.distribute.MirroredStrategy([device.name for device in tf.config.list_logical_devices(kind)])
    return tf.distribute.OneDeviceStrategy("/gpu:0" if gpus else "/cpu:0")


def has_accelerators(strategy: tf.distribute.Strategy) -> bool:
    """Whether the replicas compute on GPUs or TPUs."""
    devices = strategy.extended.worker_devices
    return any(tf.DeviceSpec.from_string(device).device_type != "CPU" for device in devices)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes what the run leaves on disk."""
    return bool(strategy.extended.should_checkpoint)


def _multi_worker_strategy(cluster: Cluster) -> tf.distribute.Strategy:
    """Joins the other workers, within a time limit: TensorFlow itself waits for an hour, or for ever."""
    meet(cluster, notice_seconds=NOTICE_SECONDS, seconds=WORKERS_TIMEOUT_SECONDS)
    complaint = f"app.py: TF_CONFIG: the workers have met, but not joined within {JOIN_TIMEOUT_SECONDS:.0f} s"
    try:
        with _killed_after(JOIN_TIMEOUT_SECONDS, f"{complaint}; start the same command on each again"):
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise WorkersLost(cause_of(error)) from error
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))  # TensorFlow has just put a deaf handler there
    return strategy


@contextlib.contextmanager
def _killed_after(seconds: float, complaint: str) -> Iterator[None]:
    """Ends this process with `complaint` when the block takes longer.

    Another process does it, for while TensorFlow waits for other workers no thread of this one can run.
    """
    command = [sys.executable, "-S", "-c", KILLER, str(seconds), str(os.getpid()), complaint]
    killer = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield
    finally:
        killer.communicate()  # it sees that the pipe is closed, as it does when this process dies


def _tpu_strategy(tpu: str, zone: Optional[str], project: Optional[str]) -> tf.distribute.Strategy:
    """Connects to a TPU, within a time limit: TensorFlow itself may retry for many minutes."""

    def connect() -> tf.distribute.cluster_resolver.ClusterResolver:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu, zone=zone, project=project)
        if tpu != "local":
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return resolver

    try:
        resolver = _patiently(connect, TPU_TIMEOUT_SECONDS, f"Connecting to TPU {tpu} ...")
    except concurrent.futures.TimeoutError:
        raise UserError(
            f"--tpu={tpu}: no answer within {TPU_TIMEOUT_SECONDS:.0f} s; is it the TPU's name, and is it up?"
        ) from None
    except Exception as error:  # whatever goes wrong here means: no such TPU
        cause = str(error).split("\n")[0][:120]
        raise UserError(f"--tpu={tpu}: cannot be reached ({cause}); check the name, or leave --tpu out") from None
    return tf.distribute.TPUStrategy(resolver)


def _patiently(connect: Callable[[], Any], seconds: float, notice: str) -> Any:
    """What `connect` returns, or TimeoutError after so many seconds; says `notice` where it is not there soon.

    It runs in a thread that is left behind, since nothing ends a call into TensorFlow.
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

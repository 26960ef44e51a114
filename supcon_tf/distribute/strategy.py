"""From flags to a `tf.distribute` strategy; the only place that asks which strategy it is."""

import json
import os
import threading
from typing import Any, List, Optional

import tensorflow as tf

from supcon_tf.errors import UserError

TPU_TIMEOUT_SECONDS = 50.0


def make_strategy(name: str = "auto", *, tpu: Optional[str] = None, cpu_devices: int = 1) -> tf.distribute.Strategy:
    """The strategy that the flags ask for. Call it before anything else touches TensorFlow's devices.

    Args:
      name: 'one_device', 'mirrored', 'multi_worker' (from the environment variable TF_CONFIG), 'tpu', or 'auto':
        whichever of these the flags and the machine suggest.
      tpu: name or address of a TPU, or 'local'; implies 'tpu'.
      cpu_devices: number of logical devices to split the CPU into.

    Raises:
      UserError: the hardware that the flags name is not there.
    """
    workers = _workers()
    gpus = tf.config.list_physical_devices("GPU")
    if name == "auto":
        if tpu is not None:
            name = "tpu"
        elif workers > 1:
            name = "multi_worker"
        else:
            name = "mirrored" if len(gpus) > 1 or cpu_devices > 1 else "one_device"
    if name == "tpu":
        return _tpu_strategy(str(tpu))
    if cpu_devices > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * cpu_devices)
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if name == "multi_worker":
        if workers == 0:
            raise UserError(
                "--strategy=multi_worker: needs the environment variable TF_CONFIG with 'cluster' and 'task'"
            )
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "mirrored":
        kind = "CPU" if cpu_devices > 1 or not gpus else "GPU"
        return tf.distribute.MirroredStrategy([device.name for device in tf.config.list_logical_devices(kind)])
    return tf.distribute.OneDeviceStrategy("/gpu:0" if gpus else "/cpu:0")


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes what the run leaves on disk."""
    if not has_several_processes(strategy):
        return True
    resolver = strategy.cluster_resolver
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_type == "chief" or (not has_chief and resolver.task_id == 0)


def has_several_processes(strategy: tf.distribute.Strategy) -> bool:
    """Whether other processes take part in every step, so that all must save at the same one."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def _workers() -> int:
    """Number of training processes that TF_CONFIG names; 0 where it is not set."""
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        return 0
    try:
        cluster = json.loads(text)["cluster"]
        return len(cluster.get("worker", [])) + len(cluster.get("chief", []))
    except (ValueError, KeyError, AttributeError, TypeError):
        raise UserError(f"TF_CONFIG={text[:60]}: must be JSON with 'cluster' and 'task'") from None


def _tpu_strategy(tpu: str) -> tf.distribute.Strategy:
    """Connects to a TPU, within a time limit: TensorFlow itself may retry for many minutes."""
    outcome: List[Any] = []

    def connect() -> None:
        try:
            resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu)
            if tpu != "local":
                tf.config.experimental_connect_to_cluster(resolver)
            tf.tpu.experimental.initialize_tpu_system(resolver)
            outcome.append(resolver)
        except Exception as error:  # whatever goes wrong here means: no such TPU
            outcome.append(error)

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(TPU_TIMEOUT_SECONDS)
    if not outcome:
        raise UserError(
            f"--tpu={tpu}: no answer within {TPU_TIMEOUT_SECONDS:.0f} s; is it the TPU's name, and is it up?"
        )
    if isinstance(outcome[0], Exception):
        cause = str(outcome[0]).split("\n")[0][:120]
        raise UserError(f"--tpu={tpu}: cannot be reached ({cause}); check the name, or leave --tpu out")
    return tf.distribute.TPUStrategy(outcome[0])

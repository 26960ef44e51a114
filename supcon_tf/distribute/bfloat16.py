"""Says whether the devices compute faster in bfloat16 than in float32."""

import pathlib

import tensorflow as tf

from supcon_tf.distribute.strategy import has_accelerators

CPU_INFO = pathlib.Path("/proc/cpuinfo")
CPU_FLAGS = ("avx512_bf16", "amx_bf16")  # instructions for bfloat16 that oneDNN uses
GPU_CAPABILITY = (8, 0)  # NVIDIA Ampere


def bfloat16_gains(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether bfloat16 is faster: on TPUs, on GPUs from Ampere on, and on CPUs with instructions for it."""
    if isinstance(strategy, tf.distribute.TPUStrategy):
        return True
    if has_accelerators(strategy):
        details = (tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU"))
        return all(detail.get("compute_capability", (0, 0)) >= GPU_CAPABILITY for detail in details)
    try:
        flags = next(line for line in CPU_INFO.read_text().splitlines() if line.startswith("flags"))
    except (OSError, StopIteration):
        return False
    return any(flag in flags.split() for flag in CPU_FLAGS)

"""Finds an NVIDIA GPU that TensorFlow does not see."""

import os
import shutil
import subprocess
from typing import Optional

import tensorflow as tf


def unused_gpu_notice() -> Optional[str]:
    """Returns a line about an NVIDIA GPU of this machine that TensorFlow does not use, None where there is none.

    A user who hides all GPUs by the environment variable CUDA_VISIBLE_DEVICES gets no line.
    """
    if "CUDA_VISIBLE_DEVICES" in os.environ or tf.config.list_physical_devices("GPU"):
        return None
    command = shutil.which("nvidia-smi")
    if command is None:
        return None
    try:
        found = subprocess.run([command, "-L"], capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    name = next((line for line in found.splitlines() if line.startswith("GPU ")), "").split(" (UUID")[0]
    if not name:
        return None
    if not tf.test.is_built_with_cuda():
        return f"Note: {name} is not used, because this TensorFlow has no CUDA; docs/install.md says which one has it"
    return f"Note: {name} is not used, because TensorFlow finds no CUDA libraries; docs/install.md says how to get them"

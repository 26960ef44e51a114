"""Options of the hardware."""

import dataclasses
from typing import Optional

from supcon_tf.config.choices import PRECISIONS, STRATEGIES
from supcon_tf.config.field import option


@dataclasses.dataclass(frozen=True)
class HardwareOptions:
    """Devices and how they compute."""

    strategy: str = option(
        "auto",
        "Devices to train on: 'one_device', 'mirrored' (all GPUs of this machine), 'multi_worker' (the workers in "
        "TF_CONFIG), 'tpu', or 'auto' (what --tpu and TF_CONFIG ask for, otherwise all GPUs, otherwise the CPU).",
        choices=STRATEGIES,
        identity=False,
    )
    tpu: Optional[str] = option(
        None, "Name or grpc:// address of a TPU, or 'local'. Implies --strategy=tpu.", none="none", identity=False
    )
    tpu_zone: Optional[str] = option(
        None, "Google Cloud zone of the TPU. Default: the zone of this machine.", none="automatic", identity=False
    )
    tpu_project: Optional[str] = option(
        None, "Google Cloud project of the TPU. Default: the project of this machine.", none="automatic", identity=False
    )
    cpu_devices: int = option(
        1,
        "Number of devices to split the CPU into, to try --strategy=mirrored without GPUs.",
        minimum=1,
        identity=False,
    )
    precision: str = option(
        "float32",
        "Number format of the layers' computations. Weights, optimizer and losses stay float32. 'bfloat16' is faster "
        "on TPUs, and on GPUs and CPUs with instructions for it; on other CPUs it is many times slower. 'float16' "
        "uses loss scaling and is faster on older GPUs. 'auto' is bfloat16 where that is faster, otherwise float32.",
        choices=PRECISIONS,
    )
    jit_compile: bool = option(
        False,
        "Compile the training step with XLA: faster on GPUs, slower on CPUs. TPUs always compile.",
        identity=False,
    )
    steps_per_execution: int = option(
        1,
        "Number of steps that the device runs without interruption. Saving, stopping and writing curves wait for "
        "their end. A larger number is faster where steps are short, above all on TPUs.",
        minimum=1,
        identity=False,
    )
    deterministic: bool = option(
        False,
        "Use only operations that give the same bits each time, so that a GPU repeats and resumes a run exactly. "
        "Slower on GPUs. A single CPU device does so without this option.",
        identity=False,
    )

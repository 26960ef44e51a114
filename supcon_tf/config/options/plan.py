"""Options of `--plan`, which are not part of a `Config`."""

import dataclasses
from typing import Optional

from supcon_tf.config.field import option


@dataclasses.dataclass(frozen=True)
class PlanOptions:
    """Asks for a plan of the run, and says for which devices."""

    plan: bool = option(
        False,
        "Print what each training stage needs, and run nothing: steps, images, parameters, floating-point operations, "
        "memory and communication per device. Needs neither the data set nor the devices.",
    )
    plan_devices: Optional[int] = option(
        None,
        "Number of devices to plan for. Default: --cpu_devices, which is 1 unless given.",
        none="automatic",
        minimum=1,
    )
    plan_tflops: Optional[float] = option(
        None,
        "Speed of a device in convolutions, in TFLOP/s (10¹² floating-point operations a second; a multiply and an "
        "add count as two). Adds an estimate of the time to the plan.",
        none="none",
        above=0,
    )
    plan_bandwidth: Optional[float] = option(
        None,
        "Speed of a device in all other layers, in GB/s. Adds their time to the estimate of --plan_tflops, which "
        "otherwise leaves it out.",
        none="none",
        above=0,
    )
    plan_memory: Optional[float] = option(
        None,
        "Memory of a device that training may use, in GB (2³⁰ bytes). The plan then says whether a step fits and, if "
        "not, the nearest flags with which it does.",
        none="none",
        above=0,
    )

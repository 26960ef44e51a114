"""Makes a `tf.distribute` strategy from options, and gathers values over replicas and processes."""

from supcon_tf.distribute.bfloat16 import bfloat16_gains
from supcon_tf.distribute.gather import gather, local_slice_start
from supcon_tf.distribute.processes import (
    all_reduce_max,
    start_again,
    step_was_done,
    steps_between_syncs,
    watch_workers,
)
from supcon_tf.distribute.repeat import repeat
from supcon_tf.distribute.strategy import (
    accelerator_bytes,
    has_accelerators,
    is_chief,
    make_deterministic,
    make_strategy,
)
from supcon_tf.distribute.unused_gpu import unused_gpu_notice

__all__ = [
    "accelerator_bytes",
    "all_reduce_max",
    "bfloat16_gains",
    "gather",
    "has_accelerators",
    "is_chief",
    "local_slice_start",
    "make_deterministic",
    "make_strategy",
    "repeat",
    "start_again",
    "step_was_done",
    "steps_between_syncs",
    "unused_gpu_notice",
    "watch_workers",
]

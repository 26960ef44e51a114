"""From flags to a `tf.distribute` strategy, and what replicas tell each other."""

from supcon_tf.distribute.gather import gather, local_slice_start
from supcon_tf.distribute.repeat import repeat
from supcon_tf.distribute.strategy import has_several_processes, is_chief, make_strategy

__all__ = ["gather", "has_several_processes", "is_chief", "local_slice_start", "make_strategy", "repeat"]

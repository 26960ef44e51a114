"""Optimizers by name, and learning-rate schedules."""

from supcon_tf.optimizers.by_name import DECAY_IN_OPTIMIZER, make_optimizer
from supcon_tf.optimizers.schedules import WarmupCosine

__all__ = ["DECAY_IN_OPTIMIZER", "WarmupCosine", "make_optimizer"]

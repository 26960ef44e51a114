"""Optimizers by name, and learning-rate schedules."""

from supcon_tf.optimizers.by_name import DECAY_IN_OPTIMIZER, SLOTS, make_optimizer
from supcon_tf.optimizers.lars import LARS
from supcon_tf.optimizers.schedules import WarmupThenDecay

__all__ = ["DECAY_IN_OPTIMIZER", "LARS", "SLOTS", "WarmupThenDecay", "make_optimizer"]

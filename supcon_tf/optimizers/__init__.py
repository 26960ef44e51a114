"""Optimizers by name, and learning-rate schedules."""

from supcon_tf.optimizers.by_name import OPTIMIZERS, make_optimizer
from supcon_tf.optimizers.lars import LARS
from supcon_tf.optimizers.schedules import WarmupThenDecay

__all__ = ["LARS", "OPTIMIZERS", "WarmupThenDecay", "make_optimizer"]

"""Optimizers by name, LARS, LAMB and AdamW, and learning-rate schedules."""

import supcon_tf.keras_2  # noqa: F401
from supcon_tf.optimizers.adamw import AdamW
from supcon_tf.optimizers.by_name import OPTIMIZERS, make_optimizer
from supcon_tf.optimizers.lamb import LAMB
from supcon_tf.optimizers.lars import LARS
from supcon_tf.optimizers.rates import scale_rates
from supcon_tf.optimizers.schedules import WarmupThenDecay

__all__ = ["LAMB", "LARS", "OPTIMIZERS", "AdamW", "WarmupThenDecay", "make_optimizer", "scale_rates"]

"""Learning rate as a function of the step."""

import math
from typing import Any, Dict

import tensorflow as tf
from tensorflow import keras


class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up from 0 to the peak, then half a cosine down to 0 (Loshchilov & Hutter, 2017).

    Args:
      peak: learning rate at step `warmup_steps`.
      warmup_steps: steps of warm-up; may be 0.
      total_steps: step at which the rate reaches 0, where it stays.
    """

    def __init__(self, peak: float, warmup_steps: int, total_steps: int) -> None:
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(f"warmup_steps={warmup_steps} must be at least 0 and less than total_steps={total_steps}")
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The rate of the update that follows `step` completed ones, a float32 scalar."""
        step = tf.cast(step, tf.float32)
        warmup = step / max(self.warmup_steps, 1)
        progress = (step - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        cosine = 0.5 * (1.0 + tf.cos(math.pi * tf.clip_by_value(progress, 0.0, 1.0)))
        return self.peak * tf.where(step < self.warmup_steps, warmup, cosine)

    def get_config(self) -> Dict[str, Any]:
        return {"peak": self.peak, "warmup_steps": self.warmup_steps, "total_steps": self.total_steps}

"""Learning rate as a function of the step."""

import math
from typing import Any, Dict, Sequence

import tensorflow as tf
from tensorflow import keras

DECAYS = ("cosine", "exponential", "piecewise", "constant")


@keras.saving.register_keras_serializable("supcon_tf")
class WarmupThenDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up from 0 to the peak, then a decay that is counted from the end of the warm-up.

    `cosine`: half a cosine down to 0 at `total_steps`, where it stays (Loshchilov & Hutter 2017). `exponential`: times
    `decay_rate` each time `decay_steps[0]` more steps are done. `piecewise`: times `decay_rate` after each number of
    steps in `decay_steps`; the step of that number still has the rate before. `constant`: the peak.

    Args:
      peak: learning rate at step `warmup_steps`.
      warmup_steps: steps of warm-up; may be 0.
      total_steps: steps of the stage, warm-up included.
      decay: one of these four.
      decay_rate: factor of 'exponential' and 'piecewise'.
      decay_steps: for 'exponential' one number of steps, for 'piecewise' any; fractions of a step count as such.

    Raises:
      ValueError: no steps are left to decay, or `decay_steps` are not what the decay takes.
    """

    def __init__(
        self,
        peak: float,
        warmup_steps: int,
        total_steps: int,
        decay: str = "cosine",
        decay_rate: float = 0.1,
        decay_steps: Sequence[float] = (),
    ) -> None:
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(f"warmup_steps={warmup_steps} must be at least 0 and less than total_steps={total_steps}")
        if decay not in DECAYS:
            raise ValueError(f"decay={decay} must be one of {', '.join(DECAYS)}")
        if decay == "exponential" and len(decay_steps) != 1:
            raise ValueError(f"decay_steps={tuple(decay_steps)} must be one number for decay=exponential")
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps
        self.decay = decay
        self.decay_rate = decay_rate
        self.decay_steps = tuple(decay_steps)

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The rate of the update that follows `step` completed ones, a float32 scalar."""
        step = tf.cast(step, tf.float32)
        warmup = step / max(self.warmup_steps, 1)
        return self.peak * tf.where(step < self.warmup_steps, warmup, self._decayed(step - self.warmup_steps))

    def _decayed(self, steps: tf.Tensor) -> tf.Tensor:
        """Share of the peak that is left so many steps after the warm-up."""
        if self.decay == "cosine":
            progress = steps / (self.total_steps - self.warmup_steps)
            return 0.5 * (1.0 + tf.cos(math.pi * tf.clip_by_value(progress, 0.0, 1.0)))
        if self.decay == "constant":
            return tf.ones_like(steps)
        if self.decay == "exponential":
            times = tf.floor(steps / self.decay_steps[0])
        else:
            times = tf.add_n([tf.cast(steps > boundary, tf.float32) for boundary in self.decay_steps])
        return tf.pow(tf.constant(self.decay_rate), times)

    def get_config(self) -> Dict[str, Any]:
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
            "decay": self.decay,
            "decay_rate": self.decay_rate,
            "decay_steps": list(self.decay_steps),
        }

"""Learning rates as functions of the step."""

import math
import numbers
from typing import Any, Dict, Sequence

import tensorflow as tf
from tensorflow import keras

from supcon_tf.config import SCHEDULES
from supcon_tf.errors import ArgumentError, check_choice, check_number


def check_learning_rate(learning_rate: Any) -> None:
    """Raises ArgumentError unless a learning rate is a number from 0 on, a schedule, a function or a tensor."""
    if isinstance(learning_rate, numbers.Real):
        check_number("learning_rate", learning_rate, minimum=0)
    elif not callable(learning_rate) and not hasattr(learning_rate, "shape"):
        raise ArgumentError("learning_rate", learning_rate, "must be a number, a schedule or a tensor")


@keras.saving.register_keras_serializable("supcon_tf")
class WarmupThenDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Warms up linearly from 0 to the peak, then decays. The decay counts steps from the end of the warm-up.

    - `cosine`: falls to 0 at `total_steps` by half a cosine (Loshchilov & Hutter 2017), and stays there.
    - `exponential`: multiplies the rate by `decay_rate` once every `decay_steps[0]` steps.
    - `piecewise`: multiplies the rate by `decay_rate` after each step number in `decay_steps`, from the next step on.
    - `constant`: keeps the peak.

    >>> schedule = WarmupThenDecay(peak=2.0, warmup_steps=10, total_steps=100)
    >>> float(schedule(5)), float(schedule(10))
    (1.0, 2.0)

    Args:
      peak: learning rate at step `warmup_steps`, at least 0.
      warmup_steps: number of warm-up steps; may be 0.
      total_steps: number of steps of the stage, with the warm-up.
      decay: 'cosine', 'exponential', 'piecewise' or 'constant'.
      decay_rate: factor for 'exponential' and 'piecewise'.
      decay_steps: one number of steps for 'exponential', one or more for 'piecewise'; may be fractions.

    Raises:
      ArgumentError: an argument is not allowed, no steps are left for the decay, or it cannot use `decay_steps`.
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
        check_number("peak", peak, minimum=0)
        check_number("warmup_steps", warmup_steps)
        check_number("total_steps", total_steps)
        if not 0 <= warmup_steps < total_steps:
            problem = "must be at least 0 and less than {total_steps}"
            raise ArgumentError("warmup_steps", warmup_steps, problem, total_steps=total_steps)
        check_choice("decay", decay, SCHEDULES)
        check_number("decay_rate", decay_rate, above=0)
        if not isinstance(decay_steps, (list, tuple)):
            raise ArgumentError("decay_steps", decay_steps, "must be a list of numbers")
        for number in decay_steps:
            check_number("decay_steps", number, above=0)
        if decay == "exponential" and len(decay_steps) != 1:
            raise ArgumentError("decay_steps", tuple(decay_steps), "must be one number with {decay}", decay=decay)
        if decay == "piecewise" and not decay_steps:
            raise ArgumentError("decay_steps", (), "must hold at least one number with {decay}", decay=decay)
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps
        self.decay = decay
        self.decay_rate = decay_rate
        self.decay_steps = tuple(decay_steps)

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """Returns the learning rate of the update after `step` completed ones, a float32 scalar."""
        step = tf.cast(step, tf.float32)
        warmup = step / max(self.warmup_steps, 1)
        return self.peak * tf.where(step < self.warmup_steps, warmup, self._decayed(step - self.warmup_steps))

    def _decayed(self, steps: tf.Tensor) -> tf.Tensor:
        """Returns the share of the peak that is left after `steps` steps of decay."""
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

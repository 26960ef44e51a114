"""Writes curves for TensorBoard and the report."""

import time
from typing import Any, Callable, Dict, Mapping, Tuple

import tensorflow as tf

from supcon_tf.data.steps import StepSchedule
from supcon_tf.training.callbacks.steps import Logs, StepCallback
from supcon_tf.training.history import History


class Curves(StepCallback):
    """Writes the mean of each metric since the last point, the learning rate and the images per second.

    Args:
      writer: writes the stage's event files.
      history: keeps the same points for the report.
      steps: batch size and number of steps.
      learning_rate: maps a step to its learning rate.
      every: steps between two points.
    """

    def __init__(
        self,
        writer: tf.summary.SummaryWriter,
        history: History,
        steps: StepSchedule,
        learning_rate: Callable[[int], Any],
        *,
        every: int,
    ) -> None:
        super().__init__()
        self._writer = writer
        self._history = history
        self._steps = steps
        self._learning_rate = learning_rate
        self._every = every
        self._last_point: Tuple[int, Dict[str, float]] = (0, {})
        self._last_time = (0.0, 0)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        super().on_epoch_begin(epoch, logs)
        self._last_point = (0, {})
        if not self._last_time[0]:
            self._last_time = (time.monotonic(), self.step)

    def after_step(self, logs: Dict[str, Any]) -> None:
        end_of_epoch = self.step == self._steps.steps_before(self._steps.epoch_of(self.step - 1) + 1)
        if self.has_passed(self._every) or (end_of_epoch and self._steps.steps_per_epoch < self._every):
            self._write_point({name: float(value) for name, value in logs.items()})

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        validation = {name: float(value) for name, value in (logs or {}).items() if name.startswith("val_")}
        self._write({f"validation/{name[len('val_') :]}": value for name, value in validation.items()})
        self._writer.flush()

    def _write_point(self, means: Dict[str, float]) -> None:
        steps_before, means_before = self._last_point
        time_before, step_before = self._last_time
        now, steps = time.monotonic(), self.step - self.first_step
        values = {}
        for name, mean in means.items():
            # Keras' metrics are means since the start of the epoch. Two means give the one since the last point.
            since = (mean * steps - means_before.get(name, 0.0) * steps_before) / (steps - steps_before)
            values[f"train/{name}"] = since
        values["train/learning_rate"] = float(self._learning_rate(self.step - 1))
        images = (self.step - step_before) * self._steps.batch_size
        values["train/images_per_second"] = images / max(now - time_before, 1e-9)
        self._write(values)
        self._last_point = (steps, means)
        self._last_time = (now, self.step)

    def _write(self, values: Mapping[str, float]) -> None:
        with self._writer.as_default(step=self.step):
            for tag, value in values.items():
                tf.summary.scalar(tag, value)
        self._history.add(self.step, values)

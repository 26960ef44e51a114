"""Writes the views of the first images for TensorBoard."""

from typing import Any, Callable, Dict

import tensorflow as tf

from supcon_tf.data.steps import StepSchedule
from supcon_tf.training import tensorboard
from supcon_tf.training.callbacks.steps import StepCallback

AFTER = 5  # steps, so that the first step need not wait for it


class FirstViews(StepCallback):
    """Writes the views of the first batch once, soon after training has begun.

    Args:
      writer: writes the stage's event files.
      make_batches: returns the training batches, like `supcon_tf.training.fit.Stage.make_batches`.
      steps: batch size and number of steps.
    """

    def __init__(
        self, writer: tf.summary.SummaryWriter, make_batches: Callable[..., tf.data.Dataset], steps: StepSchedule
    ) -> None:
        super().__init__()
        self._writer = writer
        self._make_batches = make_batches
        self._after = min(AFTER, steps.total_steps)

    def after_step(self, logs: Dict[str, Any]) -> None:
        if self.step_before < self._after <= self.step:
            first_batch = next(iter(self._make_batches(0, tf.distribute.InputContext())))
            tensorboard.write_views(self._writer, self.model.batch_of(first_batch)["views"])

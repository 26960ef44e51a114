"""The base class of the callbacks, which counts steps."""

from typing import Any, Dict, Optional

from tensorflow import keras

Logs = Optional[Dict[str, Any]]


class StepCallback(keras.callbacks.Callback):
    """A callback that counts the steps of the whole stage and gets metrics as tensors.

    Keras calls it once for each execution, which is one step or, with `steps_per_execution`, several.

    Attributes:
      step: number of steps done.
      step_before: number of steps done before the last execution.
      first_step: number of steps done before this epoch, or before this process resumed within it.
    """

    _supports_tf_logs = True  # Keras would otherwise fetch every metric after every step

    def __init__(self) -> None:
        super().__init__()
        self.step = 0
        self.step_before = 0
        self.first_step = 0

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.step = self.first_step = int(self.model.optimizer.iterations.numpy())

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        self.step_before, self.step = self.step, self.first_step + batch + 1
        self.after_step(logs or {})

    def after_step(self, logs: Dict[str, Any]) -> None:
        """Called after each execution; `logs` are the epoch's means so far."""

    def has_passed(self, every: int) -> bool:
        """Returns whether the last execution reached or passed a multiple of `every` steps."""
        return self.step // every > self.step_before // every

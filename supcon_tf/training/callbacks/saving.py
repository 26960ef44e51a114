"""Saves checkpoints and curves, and stops the stage when asked to."""

import math
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from supcon_tf import distribute
from supcon_tf.errors import Interrupted
from supcon_tf.training.callbacks.steps import Logs, StepCallback
from supcon_tf.training.checkpoints import Checkpoints
from supcon_tf.training.history import History
from supcon_tf.training.stop_signals import StopRequest


class Saving(StepCallback):
    """Saves after each epoch, every few minutes and when asked to stop; never a number that is not finite.

    All processes of a run save at the same step. Keras' own BackupAndRestore does not do that: with several workers it
    reacts to the ends of epochs and to Google's preemption notices alone.

    Args:
      checkpoints: writes the checkpoints.
      stop: says whether this process was asked to stop.
      history: written just before each checkpoint; None in a process that does not write it.
      minutes: longest time between two checkpoints.
      check_every: steps between two checks of the loss.
      all_reduce_max: maps a few numbers to the maximum of each over all processes.
      sync_every: steps between two exchanges of the processes about whether to save or to stop.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        stop: StopRequest,
        *,
        history: Optional[History] = None,
        minutes: float,
        check_every: int,
        all_reduce_max: Callable[[Sequence[int]], Sequence[int]],
        sync_every: int,
    ) -> None:
        super().__init__()
        self._checkpoints = checkpoints
        self._stop = stop
        self._history = history
        self._seconds = 60 * minutes
        self._check_every = check_every
        self._all_reduce_max = all_reduce_max
        self._sync_every = sync_every
        self._saved_at = time.monotonic()
        self._unchecked: List[Tuple[int, int, Any]] = []

    def after_step(self, logs: Dict[str, Any]) -> None:
        self._unchecked.append((self.step_before + 1, self.step, logs["loss"]))
        if self.has_passed(self._check_every):
            self._check()
        if self.has_passed(self._sync_every):
            time_is_over = time.monotonic() - self._saved_at > self._seconds
            signal, save = self._all_reduce_max([self._stop.signal or 0, int(time_is_over)])
            if signal or save:
                self._save()
            if signal:
                raise Interrupted(self._checkpoints.saved_step, signal)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._save()

    def _save(self) -> None:
        self._check()
        if self._history is not None:  # first, so that no checkpoint is without the points before it
            self._history.write()
        self._checkpoints.save()
        self._saved_at = time.monotonic()

    def _check(self) -> None:
        """Raises UserError at the first step whose loss is not finite; all later means of the epoch are not either."""
        for first, last, loss in self._unchecked:
            if not math.isfinite(float(loss)):
                steps = f"step {last:,}" if first == last else f"step {first:,} to {last:,}"
                raise self._checkpoints.diverged(f"{steps}: the loss is {float(loss)}")
        if self._unchecked:  # a device may be some steps behind, so only reading the loss shows that a step is done
            distribute.step_was_done()
        self._unchecked.clear()

"""What watches a training stage: progress, curves, checkpoints, warnings.

All of them are given the metrics as tensors and look at them every so many steps only, so that the host never waits
for a step.
"""

import math
import sys
import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Set, Tuple

import tensorflow as tf
import tqdm
from tensorflow import keras

from supcon_tf import distribute
from supcon_tf.data.steps import StepSchedule
from supcon_tf.errors import Interrupted, UserError
from supcon_tf.training.checkpoints import Checkpoints
from supcon_tf.training.stop_signals import StopRequest

Logs = Optional[Dict[str, Any]]


class StepCallback(keras.callbacks.Callback):
    """A callback that knows the step of the whole stage and gets metrics as tensors.

    Keras calls it once for each execution, which is one step or, with `steps_per_execution`, several.
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
        """Called with `self.step` steps done, `self.step_before` before these; `logs` are the epoch's means so far."""

    def has_passed(self, every: int) -> bool:
        """Whether the steps just done reached or passed a multiple of `every`."""
        return self.step // every > self.step_before // every


class Saving(StepCallback):
    """Saves after each epoch, every few minutes and when asked to stop; never anything that is not finite.

    All processes of a run save at the same step. Keras' own BackupAndRestore would not do: with several workers it
    knows of epochs and of Google's preemption notices alone.

    Args:
      checkpoints: where to.
      stop: whether this process was asked to stop.
      minutes: longest time between two checkpoints.
      check_every: steps between two looks at the loss.
      agree: a few numbers → the largest of each over all processes.
      agree_every: steps between two calls of `agree`.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        stop: StopRequest,
        *,
        minutes: float,
        check_every: int,
        agree: Callable[[Sequence[int]], Sequence[int]],
        agree_every: int,
    ) -> None:
        super().__init__()
        self._checkpoints = checkpoints
        self._stop = stop
        self._seconds = 60 * minutes
        self._check_every = check_every
        self._agree = agree
        self._agree_every = agree_every
        self._saved_at = time.monotonic()
        self._unchecked: List[Tuple[int, int, Any]] = []

    def after_step(self, logs: Dict[str, Any]) -> None:
        self._unchecked.append((self.step_before + 1, self.step, logs["loss"]))
        if self.has_passed(self._check_every):
            self._check()
        if self.has_passed(self._agree_every):
            time_is_over = time.monotonic() - self._saved_at > self._seconds
            signal, save = self._agree([self._stop.signal or 0, int(time_is_over)])
            if signal or save:
                self._save()
            if signal:
                saved = self._checkpoints.saved_step
                raise Interrupted(f"stopped and saved at step {saved}; the same command continues", signal)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._save()

    def _save(self) -> None:
        self._check()
        self._checkpoints.save()
        self._saved_at = time.monotonic()

    def _check(self) -> None:
        """Raises UserError at the first step whose loss is not finite: from there on the epoch's mean is not."""
        for first, last, loss in self._unchecked:
            if not math.isfinite(float(loss)):
                steps = f"step {last}" if first == last else f"step {first} to {last}"
                saved = self._checkpoints.saved_step
                kept = f"the checkpoint of step {saved} is kept" if saved else "nothing had been saved before"
                raise UserError(
                    f"{steps}: the loss is {float(loss)}; training stopped, {kept}. A lower --learning_rate or "
                    "more --warmup_epochs usually helps"
                )
        if self._unchecked:  # that is known only now: a device may be some steps behind
            distribute.step_was_done()
        self._unchecked.clear()


class Progress(StepCallback):
    """How far the stage is: a bar with the time left on a terminal, else a line every few seconds.

    Args:
      stage: its name.
      epochs: batch size and number of steps.
      shown: metric → the words for it.
    """

    SECONDS_BETWEEN_LINES = 10.0

    def __init__(self, stage: str, epochs: StepSchedule, shown: Mapping[str, str]) -> None:
        super().__init__()
        self._stage = stage
        self._epochs = epochs
        self._shown = shown
        self._bar: Optional[tqdm.tqdm] = None
        self._started: Optional[Tuple[float, int]] = None
        self._last_line = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        super().on_epoch_begin(epoch, logs)
        if sys.stderr.isatty() and self._bar is None:
            self._bar = tqdm.tqdm(
                desc=f"{self._stage:9}",
                total=self._epochs.total_steps,
                initial=self.step,
                unit=" steps",
                dynamic_ncols=True,
                bar_format="{desc} {percentage:3.0f}% |{bar}| {remaining} left{postfix}",
            )

    def after_step(self, logs: Dict[str, Any]) -> None:
        if self._started is None:  # the first step, which is compiled, says nothing about the others
            self._started = (time.monotonic(), self.step)
        if self._bar is not None:
            self._bar.update(self.step - self._bar.n)
            if time.monotonic() - self._last_line > 0.5:
                self._bar.set_postfix_str(self._text(logs))
                self._last_line = time.monotonic()
        elif time.monotonic() - self._last_line > self.SECONDS_BETWEEN_LINES:
            self._print_line(logs)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if self.step < self._epochs.total_steps:
            return
        if self._bar is not None:
            self._bar.set_postfix_str(self._text(logs or {}))
        else:
            self._print_line(logs or {})

    def close(self) -> None:
        """Leaves the bar as it stands; what is printed next begins on a line of its own."""
        if self._bar is not None:
            self._bar.close()

    def _print_line(self, logs: Dict[str, Any]) -> None:
        now = time.monotonic()
        started, first_step = self._started or (now, self.step)
        remaining = self._epochs.total_steps - self.step
        left = ""
        if self.step > first_step or not remaining:  # before, nothing is known of the speed
            seconds = (now - started) * remaining / max(self.step - first_step, 1)
            left = f"{tqdm.tqdm.format_interval(seconds)} left, "
        percent = 100 * self.step / self._epochs.total_steps
        print(f"{self._stage:9} {percent:3.0f}%  {left}{self._text(logs)}", file=sys.stderr, flush=True)
        self._last_line = now

    def _text(self, logs: Dict[str, Any]) -> str:
        epoch = min(self._epochs.epoch_of(self.step) + 1, self._epochs.epochs)
        figures = [f"{words} {float(logs[name]):.3f}" for name, words in self._shown.items() if name in logs]
        return ", ".join([f"epoch {epoch}/{self._epochs.epochs}", *figures])


class Curves(StepCallback):
    """TensorBoard curves: the mean of each metric since the last point, learning rate and images per second.

    Args:
      writer: of the stage's event files.
      epochs: batch size and number of steps.
      learning_rate: step → rate.
      every: steps between two points.
    """

    def __init__(
        self, writer: tf.summary.SummaryWriter, epochs: StepSchedule, learning_rate: Callable[[int], Any], *, every: int
    ) -> None:
        super().__init__()
        self._writer = writer
        self._epochs = epochs
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
        end_of_epoch = self.step == self._epochs.steps_before(self._epochs.epoch_of(self.step - 1) + 1)
        if self.has_passed(self._every) or (end_of_epoch and self._epochs.steps_per_epoch < self._every):
            self._write_point({name: float(value) for name, value in logs.items()})

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        with self._writer.as_default(step=self.step):
            for name, value in (logs or {}).items():
                if name.startswith("val_"):
                    tf.summary.scalar(f"validation/{name[4:]}", float(value))
        self._writer.flush()

    def _write_point(self, means: Dict[str, float]) -> None:
        steps_before, means_before = self._last_point
        time_before, step_before = self._last_time
        now, steps = time.monotonic(), self.step - self.first_step
        with self._writer.as_default(step=self.step):
            for name, mean in means.items():
                # Metrics are means since the epoch's start; what came since the last point follows from two of them.
                since = (mean * steps - means_before.get(name, 0.0) * steps_before) / (steps - steps_before)
                tf.summary.scalar(f"train/{name}", since)
            tf.summary.scalar("train/learning_rate", self._learning_rate(self.step - 1))
            images = (self.step - step_before) * self._epochs.batch_size
            tf.summary.scalar("train/images_per_second", images / max(now - time_before, 1e-9))
        self._last_point = (steps, means)
        self._last_time = (now, self.step)


class ContrastiveWarnings(StepCallback):
    """One line, once, where the numbers say that a contrastive stage is not learning what it could.

    Args:
      patience: epochs before embeddings that are all equal are called collapsed.
    """

    def __init__(self, *, patience: int = 3) -> None:
        super().__init__()
        self._patience = patience
        self._collapsed_epochs = 0
        self._warned: Set[str] = set()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        figures = {name: float(value) for name, value in (logs or {}).items()}
        loss, collapsed = figures["unscaled_loss"], figures["collapsed_loss"]
        self._collapsed_epochs = self._collapsed_epochs + 1 if abs(loss - collapsed) < 0.01 * collapsed else 0
        if self._collapsed_epochs == self._patience:
            self._warn_once(
                "collapse",
                f"the loss stays at {loss:.2f}, about log(N-1) = {collapsed:.2f}: all embeddings have become equal; "
                "a lower --learning_rate, more --warmup_epochs or a larger --batch_size usually helps",
            )
        share = figures.get("images_with_classmates", 1.0)
        if share < 0.5:
            self._warn_once(
                "classmates",
                f"only {share:.0%} of the images find another image of their class in the batch, so there is little to "
                "gain from the labels; a larger --batch_size usually helps",
            )

    def _warn_once(self, kind: str, text: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            tqdm.tqdm.write(f"warning: {text}", file=sys.stderr)

"""Shows on the screen how far a stage is."""

import math
import sys
import time
from typing import Any, Dict, List, Mapping, Optional, Tuple

import tqdm

from supcon_tf import progress
from supcon_tf.data.steps import StepSchedule
from supcon_tf.training.callbacks.steps import Logs, StepCallback


class Progress(StepCallback):
    """Shows a bar with the time left on a terminal, and otherwise prints a line every few seconds.

    Args:
      stage: name of the stage.
      steps: batch size and number of steps.
      shown: metric → the words for it.
    """

    def __init__(self, stage: str, steps: StepSchedule, shown: Mapping[str, str]) -> None:
        super().__init__()
        self._stage = stage
        self._steps = steps
        self._shown = shown
        self._bar: Optional[tqdm.tqdm] = None
        self._started: Optional[Tuple[float, int]] = None
        self._last_line = time.monotonic()

    def on_train_begin(self, logs: Logs = None) -> None:
        progress.say(self._stage, "compiles the first step")

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        super().on_epoch_begin(epoch, logs)
        if sys.stderr.isatty() and self._bar is None:
            self._bar = tqdm.tqdm(
                desc=f"{self._stage:9}",
                total=self._steps.total_steps,
                initial=self.step,
                unit=" steps",
                dynamic_ncols=True,
                bar_format="{desc} {percentage:3.0f}% |{bar}| {remaining} left{postfix}",
            )

    def after_step(self, logs: Dict[str, Any]) -> None:
        if self._started is None:  # the first step includes compilation, so the clock starts after it
            self._started = (time.monotonic(), self.step)
        if self._bar is not None:
            self._bar.update(self.step - self._bar.n)
            if time.monotonic() - self._last_line > 0.5:
                self._bar.set_postfix_str(self._text(logs))
                self._last_line = time.monotonic()
        elif time.monotonic() - self._last_line > progress.SECONDS_BETWEEN_LINES:
            self._print_line(logs)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if self.step < self._steps.total_steps:
            return
        if self._bar is not None:
            self._bar.set_postfix_str(self._text(logs or {}))
        else:
            self._print_line(logs or {})

    def close(self) -> None:
        """Leaves the bar on the screen and moves on to the next line."""
        if self._bar is not None:
            self._bar.close()

    def _print_line(self, logs: Dict[str, Any]) -> None:
        now = time.monotonic()
        started, first_step = self._started or (now, self.step)
        remaining = self._steps.total_steps - self.step
        left = ""
        if self.step > first_step or not remaining:  # the speed is unknown before
            seconds = (now - started) * remaining / max(self.step - first_step, 1)
            left = f"{tqdm.tqdm.format_interval(seconds)} left, "
        percent = 100 * self.step / self._steps.total_steps
        progress.say(self._stage, f"{percent:3.0f}%  {left}{self._text(logs)}")
        self._last_line = now

    def _text(self, logs: Dict[str, Any]) -> str:
        epoch = min(self._steps.epoch_of(self.step) + 1, self._steps.epochs)
        values = {name: float(logs[name]) for name in self._shown if name in logs}
        # An accuracy is NaN before the first labelled image. A loss that is NaN is shown: it explains the end.
        known = {name: value for name, value in values.items() if name == "loss" or not math.isnan(value)}
        figures = [f"{self._shown[name]} {value:.3f}" for name, value in known.items()]
        return ", ".join([f"epoch {epoch}/{self._steps.epochs}", *self._rate(), *figures])

    def _rate(self) -> List[str]:
        """Returns the images per second since the first step, in a list; an empty list before there is a second one."""
        if self._started is None or self.step == self._started[1]:
            return []
        started, first_step = self._started
        images = (self.step - first_step) * self._steps.batch_size
        return [f"{images / max(time.monotonic() - started, 1e-9):,.0f} images/s"]

"""Estimates how long a run takes, from the times of a few steps."""

import statistics
import sys
import time
from typing import Any, Dict, List, NamedTuple, Optional

import tqdm

from supcon_tf import config as config_lib
from supcon_tf import distribute
from supcon_tf.run.context import Experiment
from supcon_tf.training.callbacks.steps import Logs, StepCallback

TIMED_STEPS = 4
FORWARD_SHARE = 1 / 3  # of the time of a training step: the backward pass takes twice as long as the forward pass
RESERVE = 0.15  # of a budget, for what the estimate does not know
FIXED_SECONDS = 15.0  # reading the data again, evaluation, report and export of a small model
AN_HOUR = 3600.0


class Speed(NamedTuple):
    """Holds what a few steps of the stage 'pretrain' have shown.

    Attributes:
      trace_seconds: time of the first step, which TensorFlow traces and compiles.
      step_seconds: median time of a further step.
    """

    trace_seconds: float
    step_seconds: float


def speed_of(seconds: List[float], steps_at_a_time: int) -> Speed:
    """Returns the speed from the times of the first calls, each of several steps; zeros without any.

    >>> speed_of([9.0, 2.0, 4.0, 2.0], 2)
    Speed(trace_seconds=9.0, step_seconds=1.0)
    """
    if not seconds:
        return Speed(0.0, 0.0)
    return Speed(seconds[0], statistics.median(seconds[1:] or seconds) / steps_at_a_time)


class Duration(StepCallback):
    """Says after the first steps of the stage 'pretrain' how long the run will take.

    Args:
      experiment: the run.
    """

    def __init__(self, experiment: Experiment) -> None:
        super().__init__()
        self._experiment = experiment
        self._seconds: List[float] = []
        self._started: Optional[float] = None

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        super().on_train_batch_begin(batch, logs)
        self._started = time.monotonic()

    def after_step(self, logs: Dict[str, Any]) -> None:
        if len(self._seconds) > TIMED_STEPS or self._started is None:
            return
        float(logs["loss"])  # waits for the step
        self._seconds.append(time.monotonic() - self._started)
        if len(self._seconds) > TIMED_STEPS:
            speed = speed_of(self._seconds, self._experiment.config.hardware.steps_per_execution)
            accelerated = distribute.has_accelerators(self._experiment.strategy)
            text = estimate_text(self._experiment, speed, accelerated=accelerated)
            tqdm.tqdm.write(text, file=sys.stderr)  # above the bar that may be on the screen


def seconds_of_an_epoch(experiment: Experiment, speed: Speed) -> float:
    """Estimates the time of one epoch of the stage 'pretrain' with its validation."""
    steps = experiment.steps("pretrain")
    seconds = steps.steps_per_epoch * speed.step_seconds
    split = experiment.data.validation_split
    if split is not None and experiment.num_classes:
        seconds += experiment.data.num_examples(split) * _seconds_to_embed(experiment, speed)
    return seconds


def seconds_after(experiment: Experiment, speed: Speed) -> float:
    """Estimates the time of everything except the epochs of the stage 'pretrain'."""
    config, embedding = experiment.config, _seconds_to_embed(experiment, speed)
    embedded = experiment.data.num_examples(experiment.data.eval_split) if experiment.data.eval_split else 0
    if experiment.last_training_stage == "linear":
        passes = 1 if config.training.linear_solver == "lbfgs" else config.linear.epochs
        embedded += passes * experiment.images.size
    return FIXED_SECONDS + 2 * speed.trace_seconds + embedded * embedding


def total_seconds(experiment: Experiment, speed: Speed) -> float:
    """Estimates the time that a run takes from now on."""
    epochs = experiment.config.pretrain.epochs
    return epochs * seconds_of_an_epoch(experiment, speed) + seconds_after(experiment, speed)


def epochs_within(experiment: Experiment, speed: Speed, seconds: float) -> int:
    """Returns the number of epochs of the stage 'pretrain' with which a run ends well within a time; at least 1."""
    left = (1 - RESERVE) * seconds - seconds_after(experiment, speed)
    return max(int(left / max(seconds_of_an_epoch(experiment, speed), 1e-9)), 1)


def _seconds_to_embed(experiment: Experiment, speed: Speed) -> float:
    """Estimates the time to embed an image."""
    views = 1 if experiment.config.run.mode == "ce" else experiment.config.augment.num_views
    return FORWARD_SHARE * speed.step_seconds / (experiment.steps("pretrain").batch_size * views)


def estimate_text(experiment: Experiment, speed: Speed, *, accelerated: bool) -> str:
    """Returns a line on how long the run will take, and for more than an hour on a CPU what would make it shorter."""
    seconds, steps = total_seconds(experiment, speed), experiment.steps("pretrain").total_steps
    text = f"Takes about {duration(seconds)} on this device: {steps:,} steps of {speed.step_seconds:.2g} s"
    if seconds <= AN_HOUR or accelerated:
        return text
    budget, tiny, pretrained = (
        config_lib.as_flag(name, value)
        for name, value in (("budget", "30m"), ("preset", "tiny"), ("preset", "finetune"))
    )
    return f"{text}. Shorter with {budget}, with a small encoder ({tiny}) or with a pretrained one ({pretrained})"


def duration(seconds: float) -> str:
    """Returns a time in words.

    >>> duration(50), duration(130), duration(13 * 3600)
    ('50 s', '2 min', '13 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.0f} h"

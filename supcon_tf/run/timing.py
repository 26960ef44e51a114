"""Takes a few steps before training, for runs that must know their speed in advance."""

import time
from typing import List

from supcon_tf.models.precision import precision_policy
from supcon_tf.run import stages
from supcon_tf.run.context import Experiment
from supcon_tf.run.duration import TIMED_STEPS, Speed, speed_of


def measure(experiment: Experiment) -> Speed:
    """Takes a few steps of the stage 'pretrain' with a model that is then discarded. Every worker must do so."""
    with precision_policy(experiment.config.hardware.precision):
        model, stage, _ = stages.build_training(experiment, "pretrain")
    strategy, at_a_time = experiment.strategy, experiment.config.hardware.steps_per_execution
    batches = iter(strategy.distribute_datasets_from_function(lambda context: stage.make_batches(0, context)))
    with strategy.scope():
        take_steps = model.make_train_function()
    seconds: List[float] = []
    for _ in range(min(1 + TIMED_STEPS, stage.steps.total_steps // at_a_time)):
        started = time.monotonic()
        float(take_steps(batches)["loss"])
        seconds.append(time.monotonic() - started)
    return speed_of(seconds, at_a_time)

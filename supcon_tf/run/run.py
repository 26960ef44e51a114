"""Runs the stages that the options ask for, in their order."""

import contextlib
from typing import Any, Callable, Collection, Dict, Optional

import tensorflow as tf

from supcon_tf import config as config_lib
from supcon_tf import distribute, storage
from supcon_tf.data import load
from supcon_tf.models.precision import precision_policy
from supcon_tf.run import batches, resolve, stages, weights
from supcon_tf.run.context import Experiment
from supcon_tf.run.prepare import FitIntoMemory, prepare
from supcon_tf.run.summary import summary
from supcon_tf.run_dir import RunDir
from supcon_tf.run_lock import locked


def run(
    config: config_lib.Config,
    strategy: tf.distribute.Strategy,
    *,
    undecided: Collection[str] = (),
    not_by_hand: Collection[str] = (),
    fit_into_memory: Optional[FitIntoMemory] = None,
) -> None:
    """Runs the unfinished ones of the stages that `config` asks for, and prints a summary.

    Args:
      config: the options.
      strategy: which devices compute.
      undecided: names of options that the images decide; see `supcon_tf.run.decide`.
      not_by_hand: names of options that give way where they do not fit; see `supcon_tf.run.give_way`.
      fit_into_memory: chooses microbatches where a step takes too much memory; None to choose none.

    Raises:
      UserError: something that the user can mend.
      Interrupted: the process was asked to stop; the same command resumes the run.
    """
    stage_functions: Dict[str, Callable[[Experiment], None]] = {
        "pretrain": stages.pretrain,
        "linear": stages.train_linear_classifier,
        "evaluate": stages.evaluate,
        "export": stages.export,
    }
    chief, path = distribute.is_chief(strategy), config.run.run_dir or config_lib.default_path(config)
    resolve.check_places(config.data, path)
    run_dir, data_dir = RunDir(path), load.data_dir(config.data)
    with contextlib.ExitStack() as stack:
        stack.enter_context(storage.failures_named(path, data_dir, lambda: weights.last_saved(run_dir)))
        if chief:
            stack.enter_context(locked(path))
            run_dir.remove_leftovers()
        open_to: Dict[str, Any] = {"undecided": undecided, "not_by_hand": not_by_hand}
        experiment = prepare(config, strategy, **open_to, fit_into_memory=fit_into_memory)
        stack.enter_context(precision_policy(experiment.config.hardware.precision))
        for stage in config_lib.STAGES:
            if stage in config.run.stages:
                with batches.bad_images_named(experiment.config.data, experiment.data, experiment.unlabelled):
                    stage_functions[stage](experiment)
    if experiment.images.bad_images is not None:
        experiment.images.bad_images.report()
    if experiment.chief and not config.run.only_checks:
        print(summary(experiment))

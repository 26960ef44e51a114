"""What every training stage has in common: continue where it stopped, watch, save, stop cleanly."""

import contextlib
import dataclasses
import functools
import os
import sys
from typing import Any, Callable, Iterator, Mapping, Optional, Sequence

import tensorflow as tf
from tensorflow import keras

from supcon_tf import distribute
from supcon_tf.config import RunOptions
from supcon_tf.data.steps import StepSchedule
from supcon_tf.errors import Interrupted, UserError, WorkersLost
from supcon_tf.run_dir import RunDir
from supcon_tf.training import tensorboard
from supcon_tf.training.callbacks import Curves, Progress, Saving
from supcon_tf.training.checkpoints import Checkpoints
from supcon_tf.training.stop_signals import StopRequest, stop_signals

# (start step, input context) → batches from that step on
MakeBatches = Callable[[int, tf.distribute.InputContext], tf.data.Dataset]


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage that trains.

    Attributes:
      name: under which it is kept on disk and shown.
      epochs: batch size and number of steps.
      make_batches: its training images.
      learning_rate: step → rate, for the curves.
      shown: metric → the words for it on the screen.
      validation: distributed batches to evaluate on after each epoch; None for no such evaluation.
      validation_steps: their number.
    """

    name: str
    epochs: StepSchedule
    make_batches: MakeBatches
    learning_rate: Callable[[int], Any]
    shown: Mapping[str, str]
    validation: Optional[tf.data.Dataset] = None
    validation_steps: Optional[int] = None


def fit(
    model: keras.Model,
    stage: Stage,
    run_dir: RunDir,
    options: RunOptions,
    *,
    described: Mapping[str, Any],
    chief: bool = True,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> None:
    """Trains `model` from the stage's latest checkpoint to its end.

    Interrupted at any moment and called again, it continues at the step that was saved last, with the images that an
    undisturbed run has there.

    Args:
      model: compiled.
      stage: what to train on and for how long.
      run_dir: where checkpoints and curves go.
      options: how often to save and to look.
      described: option → value, shown beside the curves.
      chief: whether this process writes.
      callbacks: what else watches.

    Raises:
      UserError: the loss is no longer finite, or the workers do not see the same folder.
      Interrupted: the process was asked to stop.
    """
    # Metrics are over all replicas already; Keras would add them up once more for each worker.
    model.distribute_reduction_method = "first"
    checkpoints = Checkpoints(model, run_dir.checkpoints(stage.name), chief=chief)
    checkpoints.restore()
    strategy = model.distribute_strategy
    agree = functools.partial(distribute.all_reduce_max, strategy)
    latest, earliest = agree([checkpoints.step, -checkpoints.step])
    if latest != -earliest:
        raise UserError(
            f"--run_dir={run_dir.path}: this worker finds step {checkpoints.step} saved there, others between "
            f"{-earliest} and {latest}; it must be a folder that all workers share"
        )
    watching = list(callbacks)
    progress = Progress(stage.name, stage.epochs, stage.shown)
    if chief:
        writer = tf.summary.create_file_writer(os.path.join(run_dir.tensorboard, stage.name))
        if checkpoints.step > 0:
            done = f"{checkpoints.step} of {stage.epochs.total_steps}"
            print(f"{stage.name:9} goes on after step {done}", file=sys.stderr, flush=True)
        else:
            first_batch = next(iter(stage.make_batches(0, tf.distribute.InputContext())))
            tensorboard.write_views(writer, model.batch_of(first_batch)["views"])
            tensorboard.write_options(writer, described)
        watching.append(Curves(writer, stage.epochs, stage.learning_rate, every=options.log_every))
        watching.append(progress)
    with (
        contextlib.closing(progress),
        contextlib.closing(checkpoints),
        stop_signals() as stop,
        _stop_before_loss(stop, checkpoints),
        distribute.watch_workers(strategy),
    ):
        saving = Saving(
            checkpoints,
            stop,
            minutes=options.checkpoint_minutes,
            check_every=options.log_every,
            agree=agree,
            agree_every=distribute.steps_between_agreements(strategy, options.log_every),
        )
        _train(model, stage, checkpoints.step, [*watching, saving])
        # Asked for while the last epoch was being evaluated and saved? It also keeps the others from reading what the
        # chief has not written yet.
        (signal,) = agree([stop.signal or 0])
        if signal:
            raise Interrupted(f"stopped and saved at step {checkpoints.step}; the same command continues", signal)


def _train(model: keras.Model, stage: Stage, first_step: int, callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """What `keras.Model.fit` does, for epochs that differ by a step, the first of which may have begun."""
    strategy, epochs = model.distribute_strategy, stage.epochs
    batches = iter(strategy.distribute_datasets_from_function(lambda context: stage.make_batches(first_step, context)))
    watching = keras.callbacks.CallbackList(list(callbacks), model=model)
    with strategy.scope():
        take_steps = model.make_train_function()
    at_a_time = taken = int(model._steps_per_execution.numpy())
    step = first_step
    watching.on_train_begin()
    for epoch in range(epochs.epoch_of(step), epochs.epochs):
        begin, end = step, epochs.steps_before(epoch + 1)
        model.reset_metrics()
        watching.on_epoch_begin(epoch)
        while step < end:
            steps = min(at_a_time, end - step)
            if steps != taken:  # at the end of an epoch, and after it
                model._steps_per_execution.assign(steps)
                taken = steps
            watching.on_train_batch_begin(step - begin)
            logs = take_steps(batches)
            step += steps
            watching.on_train_batch_end(step - begin - 1, logs)
        if stage.validation is not None:
            figures = model.evaluate(stage.validation, steps=stage.validation_steps, verbose=0, return_dict=True)
            logs = {**logs, **{f"val_{name}": value for name, value in figures.items()}}
        watching.on_epoch_end(epoch, logs)
    watching.on_train_end()


@contextlib.contextmanager
def _stop_before_loss(stop: StopRequest, checkpoints: Checkpoints) -> Iterator[None]:
    """A process that was asked to stop does so, also where the others have left before all could agree to."""
    try:
        yield
    except WorkersLost:
        if stop.signal is None:
            raise
        saved = checkpoints.saved_step
        raise Interrupted(f"stopped, saved at step {saved}; the same command continues", stop.signal) from None

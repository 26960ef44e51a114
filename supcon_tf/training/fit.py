"""Runs a training stage: resumes where it stopped, trains, watches, saves and stops cleanly."""

import contextlib
import dataclasses
import functools
import os
import sys
from typing import Any, Callable, ContextManager, Iterator, Mapping, Optional, Sequence, Tuple

import tensorflow as tf
from tensorflow import keras

from supcon_tf import distribute
from supcon_tf.data.steps import StepSchedule
from supcon_tf.errors import ArgumentError, Interrupted, WorkersLost
from supcon_tf.models.finetuning import freeze
from supcon_tf.run_dir import RunDir
from supcon_tf.training import tensorboard
from supcon_tf.training.callbacks import Curves, FirstViews, Progress, Saving
from supcon_tf.training.checkpoints import Checkpoints
from supcon_tf.training.history import History
from supcon_tf.training.stop_signals import StopRequest, stop_signals

# (start step, input context) → batches from that step on
MakeBatches = Callable[[int, tf.distribute.InputContext], tf.data.Dataset]


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage that trains.

    Attributes:
      name: the name on the screen and on disk.
      steps: batch size and number of steps.
      make_batches: returns the training batches.
      learning_rate: maps a step to its learning rate, for the curves.
      shown: metric → the words for it on the screen.
      validation: distributed batches to evaluate on after each epoch, and their number; None for no validation.
      frozen_epochs: number of first epochs in which the model's encoder is not trained.
      freeze_batch_norm: whether the encoder's batch normalisation is never trained.
    """

    name: str
    steps: StepSchedule
    make_batches: MakeBatches
    learning_rate: Callable[[int], Any]
    shown: Mapping[str, str]
    validation: Optional[Tuple[tf.data.Dataset, int]] = None
    frozen_epochs: int = 0
    freeze_batch_norm: bool = False


def fit(
    model: keras.Model,
    stage: Stage,
    run_dir: RunDir,
    *,
    log_every: int,
    checkpoint_minutes: float,
    described: Mapping[str, Any],
    chief: bool = True,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> None:
    """Trains `model` from the stage's latest checkpoint to the end of the stage.

    An interrupted stage resumes at the step that was saved last, with the images of an uninterrupted run.

    Args:
      model: compiled.
      stage: the images and the number of steps.
      run_dir: the folder for checkpoints and curves.
      log_every: steps between two points of the curves and two checks of the loss.
      checkpoint_minutes: longest time between two checkpoints.
      described: option → value, shown beside the curves.
      chief: whether this process writes.
      callbacks: further callbacks.

    Raises:
      ArgumentError: the workers do not see the same folder.
      UserError: the loss or a weight is no longer finite.
      Interrupted: the process was asked to stop.
    """
    model.distribute_reduction_method = "first"  # Keras would add the metrics up once more for each worker
    strategy = model.distribute_strategy
    all_reduce_max = functools.partial(distribute.all_reduce_max, strategy)
    with contextlib.ExitStack() as stack:
        checkpoints = Checkpoints(model, run_dir.checkpoints(stage.name), chief=chief)
        stack.callback(checkpoints.close)
        checkpoints.restore()
        _check_shared(run_dir, checkpoints.step, all_reduce_max)
        watching, history = list(callbacks), None
        if chief:
            history = History(run_dir.history, stage.name, resumed_from=checkpoints.step)
            writer = stack.enter_context(_event_writer(run_dir, stage))
            _announce(stage, checkpoints, writer, described)
            progress = stack.enter_context(contextlib.closing(Progress(stage.name, stage.steps, stage.shown)))
            curves = Curves(writer, history, stage.steps, stage.learning_rate, every=log_every)
            watching += [curves, progress, FirstViews(writer, stage.make_batches, stage.steps)]
        stop = stack.enter_context(stop_signals())
        stack.enter_context(_stop_before_loss(stop, checkpoints))
        stack.enter_context(distribute.watch_workers(strategy))
        saving = Saving(
            checkpoints,
            stop,
            history=history,
            minutes=checkpoint_minutes,
            check_every=log_every,
            all_reduce_max=all_reduce_max,
            sync_every=distribute.steps_between_syncs(strategy, log_every),
        )
        _train(model, stage, checkpoints.step, [*watching, saving])
        _stop_if_asked(stop, checkpoints, all_reduce_max)


def _event_writer(run_dir: RunDir, stage: Stage) -> ContextManager[tf.summary.SummaryWriter]:
    """Returns the writer of a stage's event files; it is closed at the end of the context."""
    return contextlib.closing(tf.summary.create_file_writer(os.path.join(run_dir.tensorboard, stage.name)))


def _stop_if_asked(
    stop: StopRequest, checkpoints: Checkpoints, all_reduce_max: Callable[[Sequence[int]], Sequence[int]]
) -> None:
    """Raises Interrupted if a signal came while the last epoch was evaluated and saved.

    The agreement also keeps the other workers from reading a checkpoint that the chief has not written yet.
    """
    (signal,) = all_reduce_max([stop.signal or 0])
    if signal:
        raise Interrupted(checkpoints.step, signal)


def _check_shared(run_dir: RunDir, step: int, all_reduce_max: Callable[[Sequence[int]], Sequence[int]]) -> None:
    """Raises ArgumentError unless all workers find the same step saved."""
    latest, earliest = all_reduce_max([step, -step])
    if latest != -earliest:
        raise ArgumentError(
            "run_dir",
            run_dir.path,
            f"this worker finds step {step} saved there, others between {-earliest} and {latest}; it must be a folder "
            "that all workers share",
        )


def _announce(
    stage: Stage,
    checkpoints: Checkpoints,
    writer: tf.summary.SummaryWriter,
    described: Mapping[str, Any],
) -> None:
    """Prints where a stage resumes; of a new stage, writes the options for TensorBoard."""
    for path, reason in checkpoints.damaged.items():
        print(f"{path}: cannot be read ({reason}); the checkpoint before it is used", file=sys.stderr, flush=True)
    if checkpoints.step > 0:
        total = stage.steps.total_steps
        print(f"{stage.name:9} resumes after step {checkpoints.step:,} of {total:,}", file=sys.stderr, flush=True)
        return
    tensorboard.write_options(writer, described)


def _train(model: keras.Model, stage: Stage, first_step: int, callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """Trains like `keras.Model.fit`, for epochs that differ by a step and may resume in the middle of one."""
    strategy, schedule = model.distribute_strategy, stage.steps
    batches = iter(strategy.distribute_datasets_from_function(lambda context: stage.make_batches(first_step, context)))
    watching = keras.callbacks.CallbackList(list(callbacks), model=model)
    with strategy.scope():
        validate = _validation_function(model)
    at_a_time = taken = int(model.steps_per_execution.numpy())
    step = first_step
    watching.on_train_begin()
    for epoch in range(schedule.epoch_of(step), schedule.epochs):
        if epoch in (schedule.epoch_of(first_step), stage.frozen_epochs):
            take_steps = _train_function(model, stage, epoch)
        begin, end = step, schedule.steps_before(epoch + 1)
        model.reset_metrics()
        watching.on_epoch_begin(epoch)
        while step < end:
            steps = min(at_a_time, end - step)
            if steps != taken:  # at the end of an epoch, and after it
                model.steps_per_execution = steps
                taken = steps
            watching.on_train_batch_begin(step - begin)
            logs = take_steps(batches)
            step += steps
            watching.on_train_batch_end(step - begin - 1, logs)
        if stage.validation is not None:
            held_out, count = stage.validation
            figures = validate(held_out, count)
            logs = {**logs, **{f"val_{name}": value for name, value in figures.items()}}
        watching.on_epoch_end(epoch, logs)
    watching.on_train_end()


def _train_function(model: keras.Model, stage: Stage, epoch: int) -> Callable[[Any], Mapping[str, tf.Tensor]]:
    """Returns a function that takes steps of an epoch. It is another one as soon as the encoder is trained too."""
    if stage.frozen_epochs:
        freeze(model.encoder, all_layers=epoch < stage.frozen_epochs, batch_norm=stage.freeze_batch_norm)
    with model.distribute_strategy.scope():
        return model.make_train_function(force=True)


def _validation_function(model: keras.Model) -> Callable[[tf.data.Dataset, int], Mapping[str, float]]:
    """Returns a function that evaluates the model on a number of distributed batches, one step at a time.

    `keras.Model.evaluate` skips images if the number of steps per execution was another when it was called first.
    """
    strategy = model.distribute_strategy
    step = (
        tf.function(model.test_step, jit_compile=True, reduce_retracing=True) if model.jit_compile else model.test_step
    )

    @tf.function
    def take_step(batches: Any) -> Any:
        figures = strategy.run(step, args=(next(batches),))
        return {name: strategy.experimental_local_results(figure)[0] for name, figure in figures.items()}

    def validate(held_out: tf.data.Dataset, count: int) -> Mapping[str, float]:
        model.reset_metrics()
        batches, figures = iter(held_out), {}
        for _ in range(count):
            figures = take_step(batches)
        return {name: float(figure.numpy()) for name, figure in figures.items()}

    return validate


@contextlib.contextmanager
def _stop_before_loss(stop: StopRequest, checkpoints: Checkpoints) -> Iterator[None]:
    """Lets a process that was asked to stop do so, even if the others left before all agreed to it."""
    try:
        yield
    except WorkersLost:
        if stop.signal is None:
            raise
        raise Interrupted(checkpoints.saved_step, stop.signal) from None

"""Prepares a run: loads the data, resolves all options, checks them and claims the folder of the run."""

import dataclasses
import sys
import time
from typing import Any, Callable, Collection, Dict, Mapping, Optional, Sequence, Tuple

import tensorflow as tf

from supcon_tf import config as config_lib
from supcon_tf import distribute, progress
from supcon_tf.config.budget import Budget, parse_budget
from supcon_tf.data import coverage, load
from supcon_tf.data import whitening as whitening_lib
from supcon_tf.data.look import Look
from supcon_tf.errors import UserError, printable
from supcon_tf.run import batches, decide, duration, give_way, redo, resolve, schedule, timing, weights
from supcon_tf.run.context import Experiment
from supcon_tf.run.looked_at import decisions_text, gave_way_text, looked_at_text, seen_lines
from supcon_tf.run_dir import RunDir

# Returns options that make a step fit into the memory, with a reason for each; see `supcon_tf.plan.memory`.
FitIntoMemory = Callable[..., Mapping[str, decide.Decision]]
Decisions = Mapping[str, decide.Decision]

# Options in which the workers of a run may differ: where files are, and when to save.
WORKER_OPTIONS = ("run_dir", "data_dir", "source_files", "checkpoint_minutes", "cache")


def prepare(
    config: config_lib.Config,
    strategy: tf.distribute.Strategy,
    *,
    undecided: Collection[str] = (),
    not_by_hand: Collection[str] = (),
    fit_into_memory: Optional[FitIntoMemory] = None,
) -> Experiment:
    """Prepares the data, checks that the options fit it, and only then claims the folder of the run.

    The arguments are those of `supcon_tf.run.run.run`.

    Raises:
      UserError: the data cannot be had, the options do not fit it, or the folder holds another run.
    """
    started = time.monotonic()
    run_dir = RunDir(config.run.run_dir or config_lib.default_path(config))
    record = None if config.run.only_checks else run_dir.record_of(config.data.dataset)
    open_to: Dict[str, Any] = {"undecided": undecided, "not_by_hand": not_by_hand, "devices": _devices(strategy)}
    resolved = resolve.resolve_config(config, record, **open_to)
    over = redo.starts_over(run_dir, resolved.config, record)
    if over:
        resolved, record = resolve.resolve_config(config, **open_to), None
    config, data, look, decisions, gave_way = resolved
    _check_record(config, run_dir, record, data, over=over)
    images = batches.training_images(config.data, data, seed=config.run.seed)
    unlabelled = batches.unlabelled_images(config.data, images)
    experiment = Experiment(config, strategy, run_dir, data, images, unlabelled)
    seen = [line for its in (data, *([unlabelled.data] if unlabelled else [])) for line in load.findings(its)]
    if experiment.chief:
        _print_seen(experiment, seen, look, decisions, gave_way)
    seen += seen_lines(look)
    if record is None:
        experiment, fitting = _within_memory(experiment, fit_into_memory, may_change="microbatch_size" in undecided)
        experiment, budgeted = _within_budget(experiment, started, undecided)
        config, decisions = experiment.config, {**decisions, **fitting, **budgeted}
    total_steps = _check_before_training(experiment, resumes=record is not None)
    with batches.bad_images_named(config.data, data, unlabelled):
        warnings = coverage.check_classes(images)
        constants = weights.whitening_constants(config, record, lambda: whitening_lib.measure(images))
    decided = {**((record or {}).get("decided") or {}), **decisions}
    found = {
        "prepared_data": data.builder.info.full_name,
        "whitening_constants": constants._asdict(),
        "total_steps": total_steps,
        "class_names": list(data.class_names),
        **({"decided": decided} if decided else {}),
        **({"seen": (record or {}).get("seen") or seen} if seen else {}),
    }
    experiment = dataclasses.replace(experiment, whitening=constants)
    if config.run.only_checks:
        return experiment
    if config.run.redo:
        _discard_outdated(experiment, redo.outdated(run_dir, config, record, over=over))
    run_dir.claim(config, found, record, write=experiment.chief)
    if experiment.chief:
        print("".join(f"{warning}\n" for warning in warnings), end="", file=sys.stderr)
        print(printable(_heading(experiment)), file=sys.stderr, flush=True)
    return experiment


def _print_seen(
    experiment: Experiment,
    seen: Sequence[str],
    look: Optional[Look],
    decisions: Decisions,
    gave_way: Mapping[str, give_way.Change],
) -> None:
    """Prints what was seen of the images, and what was chosen or changed because of it."""
    follows = () if experiment.config.run.budget is None else decide.BUDGETED  # the budget decides these
    shown = {name: entry for name, entry in decisions.items() if name not in follows}
    text = "".join(f"{line}\n" for line in seen) + looked_at_text(look, shown) + gave_way_text(gave_way)
    print(text, end="", file=sys.stderr, flush=True)


def _check_record(
    config: config_lib.Config,
    run_dir: RunDir,
    record: Optional[Mapping[str, Any]],
    data: load.ImageData,
    *,
    over: bool,
) -> None:
    """Compares the options with those of the run that the folder holds, before anything is looked for in it.

    Other options may mean other numbers of steps, so that a finished stage would look unfinished.

    Raises:
      ArgumentError: the folder holds another run, or not the results that the option `redo` repeats.
    """
    if over or config.run.only_checks:
        return  # nothing in the folder counts
    run_dir.check_same(config, {"prepared_data": data.builder.info.full_name}, record)
    redo.check_finished(run_dir, config)
    redo.outdated(run_dir, config, record, over=False)  # for its complaints


def _discard_outdated(experiment: Experiment, outdated: Tuple[str, ...]) -> None:
    """Discards the results of stages, when all processes have seen them; returns when all see what is left."""
    distribute.all_reduce_max(experiment.strategy, [0])
    if experiment.chief:
        redo.discard(experiment.run_dir, outdated)
    distribute.all_reduce_max(experiment.strategy, [0])


def _within_memory(
    experiment: Experiment, fit_into_memory: Optional[FitIntoMemory], *, may_change: bool
) -> Tuple[Experiment, Decisions]:
    """Returns a new run whose steps fit into the memory, if microbatches can achieve that, and what was decided."""
    if fit_into_memory is None or not weights.trains_encoder(experiment.config, experiment.run_dir):
        return experiment, {}
    decisions = fit_into_memory(experiment, may_change=may_change)
    if experiment.chief:
        print(decisions_text(decisions), end="", file=sys.stderr, flush=True)
    return _with_decisions(experiment, decisions), decisions


def _within_budget(experiment: Experiment, started: float, undecided: Collection[str]) -> Tuple[Experiment, Decisions]:
    """Fits the number of epochs into the budget, and says how long the run will take.

    Args:
      experiment: a new run.
      started: when the run began, by `time.monotonic`.
      undecided: names of options that the images decide; with any, the run says how long it takes without a budget too.

    Returns:
      The run with its final number of epochs, and what the budget has decided. Without a budget of time the first steps
      of training tell its duration, so that the step is traced once.
    """
    config = experiment.config
    budget = parse_budget(config.run.budget) if config.run.budget is not None else Budget()
    decisions: Decisions = {}
    if budget.epochs is not None:
        experiment, decisions = _with_epochs(experiment, budget.epochs, undecided)
    trains = weights.trains_encoder(config, experiment.run_dir)
    if not trains or (budget.seconds is None and not config.run.only_checks):
        return dataclasses.replace(experiment, says_duration=trains and bool(undecided)), decisions
    schedule.check_microbatch(
        config.training.microbatch_size, config.pretrain.batch_size, experiment.strategy.num_replicas_in_sync
    )
    check_same_options(config, experiment.strategy)
    if experiment.chief:
        progress.say("check", "times a few steps")
    with batches.bad_images_named(config.data, experiment.data, experiment.unlabelled):
        speed = timing.measure(experiment)
    if budget.seconds is not None:
        left = budget.seconds - (time.monotonic() - started)
        (epochs,) = distribute.all_reduce_max(experiment.strategy, [-duration.epochs_within(experiment, speed, left)])
        experiment, decisions = _with_epochs(experiment, -epochs, undecided)  # those of the slowest worker
    if experiment.chief:
        accelerated = distribute.has_accelerators(experiment.strategy)
        print(duration.estimate_text(experiment, speed, accelerated=accelerated), file=sys.stderr, flush=True)
    return experiment, decisions


def _with_epochs(experiment: Experiment, epochs: int, undecided: Collection[str]) -> Tuple[Experiment, Decisions]:
    """Returns the run with another number of epochs of the stage 'pretrain', and warm-up and decay that fit it."""
    decisions = decide.in_proportion(experiment.config, epochs)
    if "warmup_epochs" in undecided:
        decisions["warmup_epochs"] = decide.warm_up(epochs, experiment.steps("pretrain").steps_per_epoch)
    if experiment.chief:
        print(decisions_text(decisions), end="", file=sys.stderr, flush=True)
    return _with_decisions(experiment, decisions), decisions


def _with_decisions(experiment: Experiment, decisions: Decisions) -> Experiment:
    """Returns the run with the values of decisions."""
    config = resolve.with_values(experiment.config, {name: entry.value for name, entry in decisions.items()})
    return dataclasses.replace(experiment, config=config)


def _devices(strategy: tf.distribute.Strategy) -> decide.Devices:
    """Returns what the devices of a strategy are good at."""
    precision = "bfloat16" if distribute.bfloat16_gains(strategy) else "float32"
    return decide.Devices(strategy.num_replicas_in_sync, distribute.has_accelerators(strategy), precision)


def _check_before_training(experiment: Experiment, *, resumes: bool) -> Dict[str, int]:
    """Checks at once what would otherwise fail after hours of another stage.

    Returns:
      Stage → number of steps, for the stages that train.

    Raises:
      UserError: a batch does not fit, the workers differ, or another run does not have the weights.
    """
    config, strategy = experiment.config, experiment.strategy
    training = weights.trained_stages(config, experiment.last_training_stage, experiment.run_dir)
    steps = {stage: experiment.steps(stage) for stage in training}
    total_steps = {stage: planned.total_steps for stage, planned in steps.items()}
    replicas = strategy.num_replicas_in_sync
    for stage in training:
        if stage in config.run.stages:
            schedule.learning_rate_schedule(config, stage, steps[stage])  # for its complaints
    schedule.check_microbatch(config.training.microbatch_size, config.pretrain.batch_size, replicas)
    check_same_options(config, strategy)
    weights.check_order(config, experiment.run_dir, training, total_steps)
    weights.check_encoder_file(config.model)
    if not resumes:
        weights.check_warm_start(config.model, experiment.data.class_names)
    return total_steps


def check_same_options(config: config_lib.Config, strategy: tf.distribute.Strategy) -> None:
    """Raises UserError unless all workers were started with the same options; those of a worker alone may differ."""
    own = config_lib.fingerprint(config, without=WORKER_OPTIONS)
    largest, negated_smallest = distribute.all_reduce_max(strategy, [own, -own])
    if largest != -negated_smallest:
        raise UserError("TF_CONFIG: its workers were started with different options; start each with the same command")


def _heading(experiment: Experiment) -> str:
    """Returns one line about the run: images, classes, devices and folder."""
    config, unlabelled = experiment.config, experiment.unlabelled
    replicas, (height, width, _) = experiment.strategy.num_replicas_in_sync, experiment.image_shape
    also = f" and {unlabelled.size:,} without labels" if unlabelled else ""
    count = f"{experiment.images.size:,} training images{also} of {height}x{width}"
    classes = f"{experiment.num_classes:,} classes" if experiment.num_classes else "no labels"
    devices = f"{replicas} replicas" if replicas > 1 else "1 device"
    dataset, path = config.data.dataset, experiment.run_dir.path
    return f"{config.run.mode} on {dataset}: {count}, {classes}, {devices}; run in {path}"

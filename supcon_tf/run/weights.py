"""Answers where the weights of each stage come from, and whether they are there.

A stage that has a checkpoint resumes from it, and nothing else is read. A stage that starts has, for each part:

    encoder            stage 'pretrain': fresh weights, `encoder_weights` or `warm_start`.
                       Stage 'linear': this run's stage 'pretrain'. A run that trains no encoder takes it from
                       `encoder_weights`, `warm_start` or the file that `encoder` names.
    projection head    fresh weights or `warm_start`.
    classifier         fresh weights or `warm_start`.

Evaluation and export read the checkpoint of the last training stage. Whitening constants belong to the encoder and come
from where it comes from.
"""

import contextlib
import dataclasses
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

import tensorflow as tf
from tensorflow import keras

from supcon_tf import config as config_lib
from supcon_tf import models, storage
from supcon_tf.data import catalogue
from supcon_tf.errors import NAME_ONLY, ArgumentError
from supcon_tf.run_dir import RunDir
from supcon_tf.training import checkpoints, warm_start


@dataclasses.dataclass(frozen=True)
class InitialWeights:
    """Sources of the weights of one training stage.

    Attributes:
      resumed: whether the stage has a checkpoint, which then holds all weights.
      encoder_weights: whether the encoder is built with the weights that the option `encoder_weights` names.
      pretrained_here: whether the encoder is the one that this run's stage 'pretrain' has trained.
      warm_start: parts that are taken from the run of the option `warm_start`.
    """

    resumed: bool = False
    encoder_weights: bool = False
    pretrained_here: bool = False
    warm_start: Tuple[str, ...] = ()


def initial_weights(config: config_lib.Config, run_dir: RunDir, stage: str) -> InitialWeights:
    """Finds the sources of a stage's weights.

    Raises:
      ArgumentError: the stage 'pretrain' would train another encoder than the one that the run's classifier is for.
    """
    if has_started(run_dir, stage):
        return InitialWeights(resumed=True)
    if stage == "pretrain" and has_started(run_dir, "linear"):
        raise ArgumentError(
            "stages",
            "pretrain",
            f"{run_dir.path} has a linear classifier on an encoder that was not trained there; leave 'pretrain' out, "
            "or give another {run_dir}",
            run_dir=NAME_ONLY,
        )
    pretrained_here = stage == "linear" and trains_encoder(config, run_dir)
    parts = _parts_of(config.run.mode, stage, with_encoder=not pretrained_here)
    taken = config.model.warm_start_parts if config.model.warm_start is not None else ()
    return InitialWeights(
        encoder_weights=not pretrained_here,
        pretrained_here=pretrained_here,
        warm_start=tuple(part for part in parts if part in taken),
    )


def _parts_of(mode: str, stage: str, *, with_encoder: bool) -> Tuple[str, ...]:
    """Returns the parts of the model that a stage begins with, by the names of the option `warm_start_parts`."""
    head = "projection_head" if stage == "pretrain" and mode != "ce" else "classifier"
    return ("encoder", head) if with_encoder else (head,)


def load_initial_weights(
    weights: InitialWeights,
    options: config_lib.ModelOptions,
    run_dir: RunDir,
    model: keras.Model,
    class_names: Sequence[str],
) -> None:
    """Gives a freshly built model the weights that its stage begins with. Does nothing for a stage that resumes.

    Args:
      weights: the sources.
      options: of the model.
      run_dir: the folder of this run.
      model: a `ContrastiveModel` or a `Classifier`.
      class_names: the classes of this run.

    Raises:
      ArgumentError: the weights of another run are not there, or do not fit.
    """
    if weights.pretrained_here:
        checkpoints.restore(run_dir.checkpoints("pretrain"), encoder=model.encoder)
    if weights.warm_start:
        parts: Dict[str, tf.Module] = {name: getattr(model, warm_start.ATTRIBUTES[name]) for name in weights.warm_start}
        other = warm_start.find(str(options.warm_start))
        warm_start.load(other, parts, dataclasses.asdict(options), class_names)
    if isinstance(model, models.ContrastiveModel) and model.queue is not None and not weights.resumed:
        model.queue.copy_from(model.encoder, model.projection_head)


def has_started(run_dir: RunDir, stage: str) -> bool:
    """Returns whether a training stage has saved a checkpoint."""
    return checkpoints.exist(run_dir.checkpoints(stage))


def check_order(
    config: config_lib.Config, run_dir: RunDir, training: Tuple[str, ...], total_steps: Mapping[str, int]
) -> None:
    """Checks that each stage finds what it needs: a stage that is asked for too, or finished before and not discarded.

    Args:
      config: the options.
      run_dir: the folder of the run.
      training: the stages that train in the run; see `trained_stages`.
      total_steps: stage → number of its steps.

    Raises:
      ArgumentError: a stage would not find what it needs.
    """
    stages, last = config.run.stages, training[-1]
    needs: Dict[str, Tuple[str, ...]] = {"evaluate": (last,), "export": (last,)}
    if not has_started(run_dir, last):  # otherwise it resumes from its own checkpoint
        needs[last] = training[:-1]
    discarded = config_lib.with_later_stages(config.run.redo)
    for stage in stages:
        for needed in needs.get(stage, ()):
            if needed in stages:
                continue
            if needed in discarded:
                problem = f"discards the stage '{needed}', which '{stage}' needs; add it to {{stages}}"
                raise ArgumentError("redo", config.run.redo, problem, stages=stages)
            require_finished(run_dir, needed, total_steps[needed], needed_by=stage)


def require_finished(run_dir: RunDir, stage: str, total_steps: int, *, needed_by: str) -> None:
    """Checks that a training stage is finished.

    Raises:
      ArgumentError: it is not; names the stage that needs it.
    """
    if not is_finished(run_dir, stage, total_steps):
        damaged = next(iter(checkpoints.look(run_dir.checkpoints(stage)).damaged.items()), None)
        if damaged is not None:
            path, reason = damaged
            problem = f"needs the finished stage '{stage}', but {path} cannot be read ({reason})"
            raise ArgumentError("stages", needed_by, f"{problem}; add it to resume it before that")
        raise ArgumentError(
            "stages", needed_by, f"needs the finished stage '{stage}', which {run_dir.path} does not have; add it"
        )


def is_finished(run_dir: RunDir, stage: str, total_steps: Optional[int]) -> bool:
    """Returns whether a training stage has saved its last step; `total_steps` is None where it does not train."""
    return total_steps is not None and checkpoints.latest_step(run_dir.checkpoints(stage)) == total_steps


def is_lost(run_dir: RunDir, stage: str) -> bool:
    """Returns whether a training stage has checkpoints of which none can be read."""
    return has_started(run_dir, stage) and checkpoints.latest_step(run_dir.checkpoints(stage)) is None


def load_trained_weights(run_dir: RunDir, stage: str, model: keras.Model) -> None:
    """Gives a model the weights that a training stage of this run has saved, to evaluate or export it.

    Args:
      run_dir: the folder of this run.
      stage: the stage.
      model: a `Classifier`; or a `ContrastiveModel`, of which only the encoder is read.
    """
    parts = {"encoder": model.encoder}
    if isinstance(model, models.Classifier):
        parts["linear"] = model.linear
    checkpoints.restore(run_dir.checkpoints(stage), **parts)


def last_saved(run_dir: RunDir) -> Optional[storage.Saved]:
    """Returns the last checkpoint of a run; None if there is none."""
    for stage in ("linear", "pretrain"):
        with contextlib.suppress(OSError, tf.errors.OpError):  # the storage has failed
            step = checkpoints.latest_step(run_dir.checkpoints(stage))
            if step is not None:
                return storage.Saved(stage, step)
    return None


def trains_encoder(config: config_lib.Config, run_dir: Optional[RunDir] = None) -> bool:
    """Returns whether a run trains its encoder; otherwise its classifier is trained on an encoder from elsewhere.

    Args:
      config: the options.
      run_dir: the folder of the run; None for a run that has no folder yet.
    """
    started = run_dir is not None and has_started(run_dir, "pretrain")
    trains = "pretrain" in config.run.stages or config.run.only_checks  # which asks how long training would take
    return started or trains or not uses_pretrained_encoder(config.model)


def uses_pretrained_encoder(options: config_lib.ModelOptions) -> bool:
    """Returns whether the encoder starts with weights from elsewhere, so that it can be evaluated without training."""
    warm = options.warm_start is not None and "encoder" in options.warm_start_parts
    return warm or options.encoder_weights is not None or config_lib.is_path(options.encoder)


def trained_stages(config: config_lib.Config, last_stage: str, run_dir: Optional[RunDir] = None) -> Tuple[str, ...]:
    """Returns the stages that train in a run, up to `last_stage`; `run_dir` as for `trains_encoder`."""
    return tuple(dict.fromkeys(("pretrain", last_stage))) if trains_encoder(config, run_dir) else (last_stage,)


def check_encoder_file(options: config_lib.ModelOptions) -> None:
    """Raises ArgumentError if the option `encoder` names a file that does not exist."""
    if config_lib.is_path(options.encoder) and not tf.io.gfile.exists(options.encoder):
        raise ArgumentError("encoder", options.encoder, "no such file or folder")


def check_warm_start(options: config_lib.ModelOptions, class_names: Sequence[str]) -> None:
    """Checks at once what a stage may need only after hours of another stage.

    Raises:
      ArgumentError: the other run does not have the parts, or its classifier has other classes.
    """
    if options.warm_start is not None:
        warm_start.check(warm_start.find(options.warm_start), options.warm_start_parts, class_names)


def whitening_constants(
    config: config_lib.Config,
    record: Optional[Mapping[str, Any]],
    measure: Callable[[], config_lib.Whitening],
) -> config_lib.Whitening:
    """Returns the constants of the encoder: from the run that is resumed, the encoder's own run, or the data.

    Args:
      config: the final options.
      record: the record of the run that is resumed; None for a new run.
      measure: measures the constants of the training images. Each process does that for itself.
    """
    model = config.model
    if config.data.whitening == "none" or not models.family_of(model.encoder).whitened:
        return config_lib.NO_WHITENING
    if record is not None:
        return _recorded_whitening(record)
    if model.warm_start is not None and "encoder" in model.warm_start_parts:
        return _recorded_whitening(warm_start.find(model.warm_start).record)
    known = catalogue.dataset_defaults(config.data.dataset).whitening
    return measure() if known is None else known


def _recorded_whitening(record: Mapping[str, Any]) -> config_lib.Whitening:
    constants = record["whitening_constants"]
    return config_lib.Whitening(tuple(constants["mean"]), tuple(constants["std"]))

"""The stages of a run, in their order: pretrain, linear, evaluate, export."""

from typing import Callable, Dict, Sequence

import tensorflow as tf
from tensorflow import keras

from supcon_tf import augment, evaluation, models
from supcon_tf.models import check_not_random
from supcon_tf.run import batches, build, schedule, weights
from supcon_tf.run.context import Experiment
from supcon_tf.run_dir import read_json, write_json, write_text
from supcon_tf.serving.export import ServableModel, write_saved_model
from supcon_tf.training import checkpoints, tensorboard
from supcon_tf.training.callbacks import ContrastiveWarnings
from supcon_tf.training.fit import MakeBatches, Stage, fit


def pretrain(experiment: Experiment) -> None:
    """Trains encoder and projection head with the contrastive loss (Khosla et al., 2020, Sec. 3.1)."""
    if experiment.is_done("pretrain"):
        return
    config = experiment.config
    start = weights.initial_weights(config, experiment.run_dir, "pretrain")
    augmentation = batches.contrastive_augmentation(experiment)
    steps = experiment.steps("pretrain")
    learning_rate = schedule.learning_rate_schedule(config, "pretrain", steps)
    with experiment.strategy.scope():
        model = build.make_contrastive_model(
            config,
            experiment.image_shape,
            experiment.online_classes or None,
            whitening=experiment.whitening,
            augmentation=augmentation.on_device,
            encoder_weights=start.encoder_weights,
        )
        check_not_random(model.encoder, config.training.microbatch_size)
        weights.load_initial_weights(start, config.model, experiment.run_dir, model)
        optimizer = build.make_optimizer(config, "pretrain", model, learning_rate)
        build.compile_contrastive_model(model, optimizer, config)
    stage = Stage(
        "pretrain",
        steps,
        batches.training_batches(experiment, augmentation, steps),
        learning_rate,
        shown={"loss": "loss", "online_accuracy": "online accuracy"},
        validation=batches.validation_batches(experiment) if experiment.online_classes else None,
    )
    _fit(experiment, model, stage, [ContrastiveWarnings()] if model.diagnostics else [])


def train_with_cross_entropy(experiment: Experiment) -> None:
    """Trains encoder and classifier together with cross-entropy: the baseline."""
    _train_classifier(experiment, "pretrain", experiment.config.augment.augment[0], mix=experiment.config.augment.mix)


def train_linear_classifier(experiment: Experiment) -> None:
    """Trains a linear classifier on the frozen encoder (Khosla et al., 2020, Sec. 3).

    The encoder is the one of stage 'pretrain' or, where that is not asked for, the one that the options name: linear
    evaluation by transfer.
    """
    if experiment.last_training_stage != "linear":
        return
    options = experiment.config.augment
    policy = options.augment[0] if options.linear_augment == "same" else options.linear_augment
    _train_classifier(experiment, "linear", policy)


def _train_classifier(experiment: Experiment, name: str, policy: str, *, mix: str = "none") -> None:
    """Trains a classifier in the stage `name`, on images augmented under `policy`."""
    if experiment.is_done(name):
        return
    config, data = experiment.config, experiment.data
    start = weights.initial_weights(config, experiment.run_dir, name)
    if start.pretrained_here:
        experiment.require("pretrain", needed_by=name)
    augmentation = batches.classifier_augmentation(experiment, policy, mix=mix)
    steps = experiment.steps(name)
    learning_rate = schedule.learning_rate_schedule(config, name, steps)
    with experiment.strategy.scope():
        model = build.make_classifier(
            config,
            experiment.image_shape,
            experiment.num_classes,
            stage=name,
            whitening=experiment.whitening,
            augmentation=augmentation.on_device,
            encoder_weights=start.encoder_weights,
        )
        weights.load_initial_weights(start, config.model, experiment.run_dir, model)
        optimizer = build.make_optimizer(config, name, model, learning_rate)
        build.compile_classifier(model, optimizer, config, multi_label=data.multi_label)
    stage = Stage(
        name,
        steps,
        batches.training_batches(experiment, augmentation, steps),
        learning_rate,
        shown={"loss": "loss", "top1": "accuracy", "hit_at_1": "hit at 1"},
        validation=batches.validation_batches(experiment),
    )
    _fit(experiment, model, stage, [])

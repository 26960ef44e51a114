"""Builds the training stages: compiled model, batches and schedule. Needs no run: plain arguments are enough."""

from typing import NamedTuple, Optional, Sequence, Tuple

import tensorflow as tf
from tensorflow import keras

from supcon_tf import augment, distribute
from supcon_tf import config as config_lib
from supcon_tf.config import NO_WHITENING, Whitening
from supcon_tf.data.steps import StepSchedule
from supcon_tf.data.training_images import TrainingImages
from supcon_tf.models.finetuning import freeze
from supcon_tf.run import batches, build, schedule
from supcon_tf.training.callbacks import ContrastiveWarnings
from supcon_tf.training.fit import MakeBatches, Stage

Validation = Optional[Tuple[tf.data.Dataset, int]]


class Training(NamedTuple):
    """A training stage that is ready to run.

    Attributes:
      model: the compiled model, with fresh weights.
      stage: what to train on and for how long.
      callbacks: callbacks of this stage alone.
    """

    model: keras.Model
    stage: Stage
    callbacks: Sequence[keras.callbacks.Callback] = ()


def build_contrastive_training(
    config: config_lib.Config,
    images: TrainingImages,
    steps: StepSchedule,
    image_shape: Tuple[int, int, int],
    strategy: tf.distribute.Strategy,
    *,
    whitening: Whitening = NO_WHITENING,
    unlabelled: Optional[TrainingImages] = None,
    validation: Validation = None,
    encoder_weights: bool = False,
) -> Training:
    """Builds the stage 'pretrain' of the modes 'supcon' and 'simclr' (Khosla et al., 2020, Sec. 3.1).

    Args:
      config: the final options.
      images: the training images.
      steps: batch size and number of steps.
      image_shape: height, width and channels of what the encoder sees.
      strategy: which devices compute.
      whitening: means and standard deviations of images in [-1, 1].
      unlabelled: further images to contrast without labels; None for none.
      validation: batches to evaluate the online classifier on, and their number; None for no evaluation.
      encoder_weights: whether to read the weights that the option `encoder_weights` names. Reads no other weights.
    """
    data = images.data
    online_classes = 0 if data.multi_label else len(data.class_names)  # an image has one class
    augmentation = batches.make_augmentation(
        config.augment,
        image_shape[0],
        len(data.class_names),
        accelerated=distribute.has_accelerators(strategy),
        microbatch_size=config.training.microbatch_size,
    )
    learning_rate = schedule.learning_rate_schedule(config, "pretrain", steps)
    with strategy.scope():
        model = build.make_contrastive_model(
            config,
            image_shape,
            online_classes or None,
            whitening=whitening,
            augmentation=augmentation.on_device,
            encoder_weights=encoder_weights,
        )
        freeze(model.encoder, all_layers=False, batch_norm=config.training.freeze_batch_norm)
        optimizer = build.make_optimizer(config.pretrain, config.training, model, learning_rate)
        build.compile_contrastive_model(model, optimizer, config)
    stage = Stage(
        "pretrain",
        steps,
        _contrastive_batches(config, images, augmentation, steps, unlabelled),
        learning_rate,
        shown={"loss": "loss", "online_accuracy": "online accuracy"},
        validation=validation if online_classes else None,
        frozen_epochs=_frozen_epochs(config),
        freeze_batch_norm=config.training.freeze_batch_norm,
    )
    warnings = ContrastiveWarnings(watch_collapse=config.augment.mix == "none")
    return Training(model, stage, [warnings] if model.diagnostics else [])


def _contrastive_batches(
    config: config_lib.Config,
    images: TrainingImages,
    augmentation: augment.Augmentation,
    steps: StepSchedule,
    unlabelled: Optional[TrainingImages],
) -> MakeBatches:
    """Returns a function from start step and input context to the batches of the contrastive loss."""
    return batches.training_batches(
        images,
        augmentation,
        steps,
        seed=config.run.seed,
        unlabelled=unlabelled,
        with_labels=not images.data.multi_label,
        class_balance=config.training.class_balance if config.run.mode == "supcon" else 0.0,
    )


def build_classifier_training(
    config: config_lib.Config,
    name: str,
    images: TrainingImages,
    steps: StepSchedule,
    image_shape: Tuple[int, int, int],
    strategy: tf.distribute.Strategy,
    *,
    whitening: Whitening = NO_WHITENING,
    validation: Validation = None,
    encoder_weights: bool = False,
) -> Training:
    """Builds the stage 'linear', or the stage 'pretrain' of the mode 'ce'.

    Args:
      name: 'linear' trains the classifier alone, 'pretrain' encoder and classifier.
      config, images, steps, image_shape, strategy, whitening, validation, encoder_weights: as for
        `build_contrastive_training`.
    """
    data = images.data
    num_classes = len(data.class_names)
    augmentation = batches.make_augmentation(
        batches.classifier_options(config.augment, name),
        image_shape[0],
        num_classes,
        accelerated=distribute.has_accelerators(strategy),
    )
    learning_rate = schedule.learning_rate_schedule(config, name, steps)
    with strategy.scope():
        model = build.make_classifier(
            config,
            image_shape,
            num_classes,
            stage=name,
            whitening=whitening,
            augmentation=augmentation.on_device,
            encoder_weights=encoder_weights,
        )
        if name == "pretrain":
            freeze(model.encoder, all_layers=False, batch_norm=config.training.freeze_batch_norm)
        optimizer = build.make_optimizer(config.stage(name), config.training, model, learning_rate)
        smoothing = config.training.label_smoothing
        build.compile_classifier(
            model, optimizer, config.hardware, label_smoothing=smoothing, multi_label=data.multi_label
        )
    stage = Stage(
        name,
        steps,
        batches.training_batches(
            images, augmentation, steps, seed=config.run.seed, class_balance=config.training.class_balance
        ),
        learning_rate,
        shown={"loss": "loss", "top1": "accuracy", "hit_at_1": "hit at 1"},
        validation=validation,
        frozen_epochs=_frozen_epochs(config) if name == "pretrain" else 0,
        freeze_batch_norm=config.training.freeze_batch_norm,
    )
    return Training(model, stage)


def _frozen_epochs(config: config_lib.Config) -> int:
    return min(config.training.frozen_epochs, config.pretrain.epochs - 1)

"""Builds models, losses and optimizers from options. Needs no run: tests, notebooks and plans build with it too."""

import dataclasses
from typing import Callable, Optional, Tuple

from tensorflow import keras

from supcon_tf import config as config_lib
from supcon_tf import losses, models, optimizers
from supcon_tf.batch import Batch
from supcon_tf.config import NO_WHITENING, Whitening
from supcon_tf.models.finetuning import rate_factors


def make_contrastive_model(
    config: config_lib.Config,
    image_shape: Tuple[int, int, int],
    num_classes: Optional[int],
    *,
    whitening: Whitening = NO_WHITENING,
    augmentation: Optional[Callable[[Batch], Batch]] = None,
    encoder_weights: bool = False,
) -> models.ContrastiveModel:
    """Builds encoder, projection head and, if there are classes, the online classifier.

    Args:
      config: the options.
      image_shape: height, width and channels of what the encoder sees.
      num_classes: number of classes of the online classifier; None for no such classifier.
      whitening: means and standard deviations of images in [-1, 1].
      augmentation: what the device does to a batch first; None for nothing.
      encoder_weights: whether to read the weights that the option `encoder_weights` names.
    """
    return models.make_contrastive_model(
        _model_options(config, encoder_weights),
        image_shape,
        num_classes,
        whitening=whitening,
        augmentation=augmentation,
        weight_decay=decay_in_loss(config.pretrain),
        decay_normalization=config.training.decay_normalization,
        seed=config.run.seed,
        learned_temperature=config.loss.temperature if config.loss.learn_temperature else None,
        joint_ce=config.loss.joint_ce,
        queue_size=config.loss.queue_size,
        momentum_encoder=config.loss.momentum_encoder,
        microbatch_size=config.training.microbatch_size,
    )


def make_classifier(
    config: config_lib.Config,
    image_shape: Tuple[int, int, int],
    num_classes: int,
    *,
    stage: Optional[str] = None,
    whitening: Whitening = NO_WHITENING,
    augmentation: Optional[Callable[[Batch], Batch]] = None,
    encoder_weights: bool = False,
) -> models.Classifier:
    """Builds encoder and linear classifier.

    Args:
      config: the options.
      image_shape: height, width and channels of what the encoder sees.
      num_classes: number of classes.
      stage: which stage trains it. 'pretrain' trains both parts, 'linear' the classifier alone; None trains neither.
      whitening, augmentation, encoder_weights: as for `make_contrastive_model`.
    """
    return models.make_classifier(
        _model_options(config, encoder_weights),
        image_shape,
        num_classes,
        freeze_encoder=stage != "pretrain",
        whitening=whitening,
        augmentation=augmentation,
        weight_decay=decay_in_loss(config.stage(stage)) if stage else 0.0,
        decay_normalization=config.training.decay_normalization,
        seed=config.run.seed,
    )


def _model_options(config: config_lib.Config, encoder_weights: bool) -> config_lib.ModelOptions:
    return config.model if encoder_weights else dataclasses.replace(config.model, encoder_weights=None)


def make_contrastive_loss(config: config_lib.Config, model: models.ContrastiveModel) -> keras.losses.Loss:
    """Builds the loss of modes 'supcon' and 'simclr', with the model's temperature and queue where it has them."""
    return losses.make_contrastive_loss(
        config.loss,
        mode=config.run.mode,
        mix=config.augment.mix,
        normalize=config.model.normalize_projection,
        temperature=model.temperature or config.loss.temperature,
        memory=model.memory,
    )


def loss_weight(options: config_lib.LossOptions) -> float:
    """Returns what the contrastive loss is multiplied by beside the temperature."""
    return 1 / options.base_temperature if options.scale_by_temperature else 1.0


def compile_contrastive_model(
    model: models.ContrastiveModel, optimizer: keras.optimizers.Optimizer, config: config_lib.Config
) -> None:
    """Compiles the model with the contrastive loss of the options."""
    model.compile(
        optimizer,
        make_contrastive_loss(config, model),
        loss_weights=loss_weight(config.loss),
        jit_compile=config.hardware.jit_compile,
        steps_per_execution=config.hardware.steps_per_execution,
    )


def compile_classifier(
    model: models.Classifier,
    optimizer: keras.optimizers.Optimizer,
    hardware: config_lib.HardwareOptions,
    *,
    label_smoothing: float = 0.0,
    multi_label: bool = False,
) -> None:
    """Compiles the model with cross-entropy and accuracy; `multi_label` for images that have several classes."""
    if multi_label:
        loss: keras.losses.Loss = models.SigmoidCrossEntropy(name="cross_entropy")
        accuracy: keras.metrics.Metric = models.HitAtOne("hit_at_1")
    else:
        loss = models.CrossEntropy(label_smoothing=label_smoothing, name="cross_entropy")
        accuracy = models.Accuracy("top1")
    model.compile(
        optimizer,
        loss,
        weighted_metrics=[accuracy],
        jit_compile=hardware.jit_compile,
        steps_per_execution=hardware.steps_per_execution,
    )


def make_optimizer(
    options: config_lib.StageOptions,
    training: config_lib.TrainingOptions,
    model: keras.Model,
    learning_rate: optimizers.WarmupThenDecay,
) -> keras.optimizers.Optimizer:
    """Builds the optimizer of a training stage for its model."""
    decaying = {id(weight) for weight in model.decaying_weights}
    undecayed = [weight for weight in model.trainable_weights if id(weight) not in decaying]
    # LARS does not scale what does not decay, as in the authors' code, which has no online classifier. Ours is scaled:
    # at the rates meant for LARS it would otherwise diverge and tell nothing.
    online = getattr(model, "online_classifier", None)
    scaled = {id(weight) for weight in online.trainable_weights} if online is not None else set()
    optimizer = optimizers.make_optimizer(
        options.optimizer,
        learning_rate,
        momentum=training.momentum,
        weight_decay=options.weight_decay,
        undecayed=undecayed,
        unadapted=[weight for weight in undecayed if id(weight) not in scaled],
        clip_norm=training.clip_norm,
    )
    if training.layer_decay < 1:
        optimizers.scale_rates(optimizer, rate_factors(model.encoder, training.layer_decay))
    return optimizer


def decay_in_loss(options: config_lib.StageOptions) -> float:
    """Returns the weight decay that is a term of the loss: 0 where the optimizer decays the weights itself."""
    return 0.0 if optimizers.OPTIMIZERS[options.optimizer].decays else options.weight_decay

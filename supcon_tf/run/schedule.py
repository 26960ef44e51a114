"""Computes how long the stages train and at which learning rate. Needs no model and no run."""

from typing import Optional

from supcon_tf import config as config_lib
from supcon_tf import optimizers
from supcon_tf.data.steps import StepSchedule, plan_steps
from supcon_tf.data.training_images import TrainingImages
from supcon_tf.errors import ArgumentError, arguments_called

LINEAR_SCALING_BATCH = 256  # the batch that a scaled learning rate is given for (Goyal et al. 2017)


def last_training_stage(mode: str, num_classes: int) -> str:
    """Returns the stage whose result is evaluated and exported: 'pretrain' or 'linear'."""
    return "linear" if mode != "ce" and num_classes else "pretrain"


def step_schedule(
    config: config_lib.Config,
    stage: str,
    images: TrainingImages,
    unlabelled: Optional[TrainingImages],
    replicas: int,
    *,
    num_classes: Optional[int] = None,
) -> StepSchedule:
    """Plans the steps of a training stage.

    Args:
      config: the options.
      stage: 'pretrain' or 'linear'.
      images: the training images.
      unlabelled: further images without labels; None for none.
      replicas: number of replicas.
      num_classes: number of classes that have training images; None counts them in the data if it matters.

    Raises:
      ArgumentError: as `plan_steps`.
    """
    options = config.stage(stage)
    if stage == "linear" and config.training.linear_solver == "lbfgs":
        return StepSchedule(images.size, images.size, epochs=1)  # one step, in which all images count
    if stage == "linear":
        with arguments_called(batch_size=config_lib.name_in_stage("linear", "batch_size")):
            return plan_steps(images.size, options.batch_size, options.epochs, replicas)
    classes_per_batch = config.data.classes_per_batch
    assert not isinstance(classes_per_batch, str)  # it is resolved
    if classes_per_batch is not None and num_classes is None:
        num_classes = len(images.classes[1])
    return plan_steps(
        images.size,
        options.batch_size,
        options.epochs,
        replicas,
        classes_per_batch=classes_per_batch,
        num_classes=num_classes or 0,
        unlabelled=None if unlabelled is None else unlabelled.size,
        unlabelled_share=config.data.unlabelled_share,
    )


def learning_rate_schedule(config: config_lib.Config, stage: str, steps: StepSchedule) -> optimizers.WarmupThenDecay:
    """Returns the learning rate of a training stage as a function of the step.

    Raises:
      ArgumentError: the warm-up takes all steps, which short epochs may cause.
    """
    options = config.stage(stage)
    if stage == "linear" and config.training.linear_solver == "lbfgs":  # which has no learning rate
        return optimizers.WarmupThenDecay(options.learning_rate, 0, steps.total_steps, "constant")
    warmup_steps = int(options.warmup_epochs * steps.steps_per_epoch)
    if warmup_steps >= steps.total_steps:
        name = config_lib.name_in_stage(stage, "warmup_epochs")
        count = f"{steps.total_steps:,} step{'' if steps.total_steps == 1 else 's'}"
        raise ArgumentError(name, options.warmup_epochs, f"leaves no step for the decay, as the stage has {count}")
    return optimizers.WarmupThenDecay(
        peak_learning_rate(config, stage, steps.batch_size),
        warmup_steps,
        steps.total_steps,
        options.schedule,
        options.decay_rate,
        [epochs * steps.steps_per_epoch for epochs in options.decay_epochs or ()],
    )


def peak_learning_rate(config: config_lib.Config, stage: str, batch_size: int) -> float:
    """Returns the learning rate at the end of the warm-up."""
    scale = batch_size / LINEAR_SCALING_BATCH if config.training.scale_learning_rate else 1.0
    return scale * config.stage(stage).learning_rate


def check_microbatch(microbatch_size: Optional[int], batch_size: int, replicas: int) -> None:
    """Checks that microbatches make up a replica's share of the batch.

    Raises:
      ArgumentError: they do not; names the nearest size that does.
    """
    share = batch_size // replicas
    if microbatch_size is not None and share % microbatch_size:
        divisors = (size for size in range(1, share + 1) if share % size == 0)
        nearest = min(divisors, key=lambda size: abs(size - microbatch_size))
        raise ArgumentError(
            "microbatch_size",
            microbatch_size,
            f"must divide the {share:,} images of a replica's batch; the nearest is {nearest} for {{batch_size}}",
            batch_size=batch_size,
        )

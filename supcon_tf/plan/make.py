"""Makes the plan of a run: builds the models of its stages, without filling their weights, and counts their graphs."""

import dataclasses
import functools
from typing import Any, Collection, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

import tensorflow as tf
from tensorflow import keras

from supcon_tf import config as config_lib
from supcon_tf import models
from supcon_tf.data import load
from supcon_tf.data.steps import StepSchedule
from supcon_tf.data.training_images import TrainingImages
from supcon_tf.models.precision import precision_policy
from supcon_tf.plan import graph_cost
from supcon_tf.plan.stage import Parameters, StagePlan
from supcon_tf.run import build, decide, resolve, schedule, weights
from supcon_tf.run.give_way import Change


@dataclasses.dataclass(frozen=True)
class Plan:
    """Cost of a run.

    Attributes:
      config: the final options.
      asked: what to say about it.
      images: number of training images.
      unlabelled: number of further images without labels.
      stages: the stages that train.
      gave_way: option name → change of a value that did not fit the images.
    """

    config: config_lib.Config
    asked: config_lib.PlanOptions
    images: int
    unlabelled: int
    stages: Tuple[StagePlan, ...]
    gave_way: Mapping[str, Change] = dataclasses.field(default_factory=dict)


class _Parts(NamedTuple):
    """The model of a stage, by parts in the order of the forward pass, and what a step does with its images."""

    parts: Dict[str, keras.layers.Layer]
    forward: graph_cost.Forward
    trainable_weights: List[tf.Variable]


def make_plan(
    config: config_lib.Config,
    asked: config_lib.PlanOptions,
    *,
    undecided: Collection[str] = (),
    not_by_hand: Collection[str] = (),
) -> Plan:
    """Counts what the stages of `config` would cost.

    Args:
      config: the options.
      asked: the options of the plan.
      undecided: names of options that the images decide; see `supcon_tf.run.decide`. Nothing is known of the devices,
        which then count as CPUs.
      not_by_hand: names of options that give way where they do not fit; see `supcon_tf.run.give_way`.

    Raises:
      ArgumentError: a data set that is unknown or of unknown size, or options that do not fit it.
    """
    replicas = asked.plan_devices or config.hardware.cpu_devices
    devices = decide.Devices(replicas)
    open_to: Dict[str, Any] = {"undecided": undecided, "not_by_hand": not_by_hand, "devices": devices}
    config, data, *_, gave_way = resolve.resolve_config(config, prepare=False, **open_to)
    schedule.check_microbatch(config.training.microbatch_size, config.pretrain.batch_size, replicas)
    images = TrainingImages(data, max_examples=config.data.max_examples)
    unlabelled = None
    if config.data.unlabelled is not None:
        unlabelled = TrainingImages(load.load_unlabelled(config.data, prepare=False))
    with graph_cost.unfilled_weights(), precision_policy(config.hardware.precision):
        stages = tuple(_stages(config, images, unlabelled, replicas))
    return Plan(config, asked, images.size, unlabelled.size if unlabelled else 0, stages, gave_way)


def plan_of_pretraining(
    config: config_lib.Config, images: TrainingImages, unlabelled: Optional[TrainingImages], replicas: int
) -> StagePlan:
    """Returns the plan of the stage 'pretrain' of resolved options."""
    config = dataclasses.replace(config, run=dataclasses.replace(config.run, stages=("pretrain",)))
    with graph_cost.unfilled_weights(), precision_policy(config.hardware.precision):
        return next(_stages(config, images, unlabelled, replicas))


def _stages(
    config: config_lib.Config, images: TrainingImages, unlabelled: Optional[TrainingImages], replicas: int
) -> Iterator[StagePlan]:
    """Plans the stages that train, of those that are asked for."""
    image_shape = resolve.image_shape(config.data, images.data)
    classes = len(images.data.class_names)

    def steps_of(stage: str, config: config_lib.Config) -> StepSchedule:
        # Only the data tell which classes have images, so all classes count.
        steps = schedule.step_schedule(config, stage, images, unlabelled, replicas, num_classes=classes)
        schedule.learning_rate_schedule(config, stage, steps)  # for its complaints
        return steps

    training = weights.trained_stages(config, schedule.last_training_stage(config.run.mode, classes))
    asked = [stage for stage in training if stage in config.run.stages]
    if config.training.linear_solver == "lbfgs":
        asked = [stage for stage in asked if stage != "linear"]  # it embeds the images once, and takes no steps
    steps = {stage: steps_of(stage, config) for stage in asked}  # before any model
    encoder: Optional[keras.Model] = None
    for stage in steps:
        contrastive = stage == "pretrain" and config.run.mode != "ce"
        model = _build(config, stage, image_shape, classes, encoder)
        encoder = model.parts["encoder"]
        yield StagePlan(
            stage=stage,
            config=config,
            steps=steps[stage],
            steps_of=functools.partial(steps_of, stage),
            replicas=replicas,
            image_shape=image_shape,
            classes=classes,
            parameters={name: _parameters(part) for name, part in model.parts.items()},
            counted=graph_cost.count(model.forward, image_shape, model.trainable_weights),
            embedding=encoder.output_shape[-1],
            normalized=sum(map(_normalized_channels, model.parts.values())),
            microbatch_size=config.training.microbatch_size if contrastive else None,
        )


def _build(
    config: config_lib.Config,
    stage: str,
    image_shape: Tuple[int, int, int],
    classes: int,
    encoder: Optional[keras.Model],
) -> _Parts:
    """Builds the model of a stage, on an encoder that an earlier stage has built if there is one."""
    if stage == "pretrain" and config.run.mode != "ce":
        return _contrastive_parts(
            build.make_contrastive_model(_single_replica_config(config), image_shape, classes or None)
        )
    if encoder is None:
        return _classifier_parts(
            build.make_classifier(_single_replica_config(config), image_shape, classes, stage=stage)
        )
    normalize = config.model.normalize_embedding
    return _classifier_parts(models.Classifier(encoder, classes, freeze_encoder=True, normalize_embedding=normalize))


def _single_replica_config(config: config_lib.Config) -> config_lib.Config:
    """Returns the options of the model whose graph is counted.

    It has the batch statistics of one replica: synchronised ones consist of many small operations, which XLA reduces to
    as few. The cost of the queue and its momentum encoder is added by arithmetic.
    """
    default = config_lib.LossOptions()
    loss = dataclasses.replace(config.loss, queue_size=default.queue_size, momentum_encoder=default.momentum_encoder)
    return dataclasses.replace(config, loss=loss, model=dataclasses.replace(config.model, sync_batch_norm=False))


def _contrastive_parts(model: models.ContrastiveModel) -> _Parts:
    parts = {"encoder": model.encoder, "projection head": model.projection_head}
    if model.online_classifier is not None:
        parts["online classifier"] = model.online_classifier

    def forward(images: tf.Tensor, mark: graph_cost.Mark) -> List[tf.Tensor]:
        embeddings = model.embed(images, training=True)
        mark("encoder")
        outputs = [model.projection_head(embeddings, training=True)]
        mark("projection head")
        if model.online_classifier is not None:
            outputs.append(model.online_classifier(tf.stop_gradient(embeddings)))
            mark("online classifier")
        return outputs

    return _Parts(parts, forward, model.trainable_weights)


def _classifier_parts(model: models.Classifier) -> _Parts:
    def forward(images: tf.Tensor, mark: graph_cost.Mark) -> List[tf.Tensor]:
        embeddings = model.embed(images, training=True)
        mark("encoder")
        logits = model.linear(embeddings)
        mark("classifier")
        return [logits]

    return _Parts({"encoder": model.encoder, "classifier": model.linear}, forward, model.trainable_weights)


def _parameters(part: keras.layers.Layer) -> Parameters:
    return Parameters(
        *(sum(weight.shape.num_elements() for weight in of) for of in (part.weights, part.trainable_weights))
    )


def _normalized_channels(part: keras.layers.Layer) -> int:
    layers = (layer for layer in part.submodules if isinstance(layer, keras.layers.BatchNormalization))
    return sum(layer.moving_mean.shape.num_elements() for layer in layers)

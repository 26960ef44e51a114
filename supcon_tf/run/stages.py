"""Runs the stages, in their order: pretrain, linear, evaluate, export."""

import os
from typing import Any, Dict, Optional, Tuple

import numpy as np
import tensorflow as tf
from tensorflow import keras

from supcon_tf import config as config_lib
from supcon_tf import distribute, evaluation, progress
from supcon_tf.errors import arguments_called
from supcon_tf.evaluation.embeddings import embed_images
from supcon_tf.models.precision import precision_policy
from supcon_tf.run import batches, build, weights
from supcon_tf.run.context import Experiment
from supcon_tf.run.duration import Duration
from supcon_tf.run.stage_builders import Training, build_classifier_training, build_contrastive_training
from supcon_tf.run_dir import read_json, write_json, write_text
from supcon_tf.serving.export import ServableModel, write_saved_model
from supcon_tf.training import logistic_regression, tensorboard
from supcon_tf.training.checkpoints import save_finished
from supcon_tf.training.fit import fit


def pretrain(experiment: Experiment) -> None:
    """Trains encoder and projection head with the contrastive loss (Khosla et al., 2020, Sec. 3.1).

    Trains encoder and classifier together with cross-entropy, the baseline, in mode 'ce'.
    """
    _train(experiment, "pretrain")


def train_linear_classifier(experiment: Experiment) -> None:
    """Trains a linear classifier on the frozen encoder (Khosla et al., 2020, Sec. 3).

    The encoder comes from the stage 'pretrain'. Without that stage the options name it: linear evaluation by transfer.
    """
    if experiment.last_training_stage != "linear":
        return
    if experiment.config.training.linear_solver == "lbfgs":
        _solve(experiment)
    else:
        _train(experiment, "linear")


def _validation(experiment: Experiment) -> Optional[Tuple[tf.data.Dataset, int]]:
    """Returns batches to evaluate on while training, and their number; None for no such evaluation."""
    split = experiment.data.validation_split
    return _evaluation_batches(experiment, split, keep=True) if split and experiment.num_classes else None


def _evaluation_batches(experiment: Experiment, split: str, *, keep: bool = False) -> Tuple[tf.data.Dataset, int]:
    """Returns batches of a whole split, and their number."""
    return batches.evaluation_batches(
        experiment.data,
        split,
        experiment.evaluation_view,
        experiment.strategy,
        bad_images=experiment.images.bad_images,
        keep=keep,
    )


def build_training(experiment: Experiment, name: str, *, encoder_weights: bool = False) -> Training:
    """Builds a training stage of a run; `encoder_weights` as for `stage_builders.build_contrastive_training`."""
    steps, shape, strategy = experiment.steps(name), experiment.image_shape, experiment.strategy
    given: Dict[str, Any] = {
        "whitening": experiment.whitening,
        "validation": _validation(experiment),
        "encoder_weights": encoder_weights,
    }
    config, images = experiment.config, experiment.images
    if name == "linear" or config.run.mode == "ce":
        return build_classifier_training(config, name, images, steps, shape, strategy, **given)
    return build_contrastive_training(config, images, steps, shape, strategy, unlabelled=experiment.unlabelled, **given)


def _begin(experiment: Experiment, name: str) -> Optional[Training]:
    """Builds a training stage and gives the model its initial weights; returns None if the stage is finished."""
    config, run_dir = experiment.config, experiment.run_dir
    if weights.is_finished(run_dir, name, experiment.steps(name).total_steps):
        return None
    start = weights.initial_weights(config, run_dir, name)
    if start.pretrained_here:
        experiment.require("pretrain", needed_by=name)
    training = build_training(experiment, name, encoder_weights=start.encoder_weights)
    with experiment.strategy.scope():
        weights.load_initial_weights(start, config.model, run_dir, training.model, experiment.data.class_names)
    return training


def _solve(experiment: Experiment) -> None:
    """Trains the linear classifier on the embeddings of the training images, which are computed once."""
    training = _begin(experiment, "linear")
    if training is None:
        return
    model, config = training.model, experiment.config
    if experiment.chief:
        progress.say("linear", f"embeds {experiment.images.size:,} training images once")
    once = batches.training_images_once(experiment.images, experiment.evaluation_view, experiment.strategy)
    vectors, labels = embed_images(model, *once)
    kernel, bias = logistic_regression.fit_classifier(
        vectors,
        labels,
        experiment.num_classes,
        weight_decay=config.linear.weight_decay,
        class_weights=experiment.images.class_weights(config.training.class_balance),
    )
    with experiment.strategy.scope():
        model.linear.set_weights([kernel, bias])
    save_finished(
        model, experiment.run_dir.checkpoints("linear"), training.stage.steps.total_steps, chief=experiment.chief
    )
    distribute.all_reduce_max(experiment.strategy, [0])  # the others read what the chief has written
    if experiment.chief:
        accuracy = float(np.mean(np.argmax(vectors @ kernel + bias, axis=1) == labels))
        progress.say("linear", f"L-BFGS on {len(labels):,} embeddings: accuracy {accuracy:.4f}")


def _train(experiment: Experiment, name: str) -> None:
    """Builds a training stage, gives the model its initial weights and trains it, unless the stage is done."""
    config, run_dir = experiment.config, experiment.run_dir
    training = _begin(experiment, name)
    if training is None:
        return
    model, stage, callbacks = training
    if experiment.says_duration and experiment.chief and name == "pretrain":
        callbacks = [*callbacks, Duration(experiment)]
    names = ("learning_rate", "warmup_epochs")
    with arguments_called(**{field: config_lib.name_in_stage(name, field) for field in names}):
        fit(
            model,
            stage,
            run_dir,
            log_every=config.run.log_every,
            checkpoint_minutes=config.run.checkpoint_minutes,
            described=experiment.described(),
            chief=experiment.chief,
            callbacks=callbacks,
        )


def evaluate(experiment: Experiment) -> None:
    """Evaluates the model on the held-out images: metrics.json, report.html and TensorBoard."""
    config, data, run_dir = experiment.config, experiment.data, experiment.run_dir
    if not experiment.num_classes or read_json(run_dir.metrics) is not None:
        return
    experiment.require(experiment.last_training_stage, needed_by="evaluate")
    with experiment.strategy.scope():
        model = _trained_model(experiment)
    if experiment.chief:
        progress.say("evaluate", f"{data.num_examples(str(data.eval_split)):,} held-out images")
    inputs = evaluation.EvaluationInputs(
        model,
        lambda: _evaluation_batches(experiment, str(data.eval_split)),
        data.class_names,
        multi_label=data.multi_label,
    )
    results = evaluation.evaluate(inputs)
    metrics = evaluation.as_metrics(results)
    if not experiment.chief:
        return
    described = experiment.described()
    writer = tf.summary.create_file_writer(os.path.join(run_dir.tensorboard, "evaluate"))
    tensorboard.write_options(writer, described)
    tensorboard.write_figures(writer, evaluation.scalars(metrics))
    writer.close()
    title = f"{config.run.mode} on {config.data.dataset}"
    recorded = read_json(run_dir.history) or {}  # somebody may have removed it
    trained = list(weights.trained_stages(config, experiment.last_training_stage, run_dir))
    if config.training.linear_solver == "lbfgs" and "linear" in trained:
        trained.remove("linear")  # it has no steps, and so no curves
    history = {stage: recorded.get(stage, {}) for stage in trained}
    record = run_dir.record() or {}
    page = evaluation.report_html(
        title,
        results,
        data.class_names,
        described,
        history,
        config.run.log_every,
        chosen=record.get("decided"),
        seen=record.get("seen") or (),
    )
    write_text(run_dir.report, page)
    write_json(run_dir.metrics, metrics)


def export(experiment: Experiment) -> None:
    """Exports the SavedModel, in float32 and independent of the strategy, so that it runs anywhere."""
    run_dir, data = experiment.run_dir, experiment.data
    if not experiment.chief or tf.saved_model.contains_saved_model(run_dir.saved_model):
        return
    experiment.require(experiment.last_training_stage, needed_by="export")
    progress.say("export", "writes the SavedModel")
    with precision_policy("float32"):
        model = _trained_model(experiment)
    servable = ServableModel(
        model, experiment.evaluation_view, experiment.image_shape, data.class_names, multi_label=data.multi_label
    )
    write_saved_model(servable, run_dir.saved_model)


def _trained_model(experiment: Experiment) -> keras.Model:
    """Builds the model and reads what the last training stage has saved.

    Returns:
      A `Classifier`, or a `ContrastiveModel` where the images have no classes.
    """
    config, shape, whitening = experiment.config, experiment.image_shape, experiment.whitening
    if experiment.num_classes:
        model = build.make_classifier(config, shape, experiment.num_classes, whitening=whitening)
    else:
        model = build.make_contrastive_model(config, shape, None, whitening=whitening)
    weights.load_trained_weights(experiment.run_dir, experiment.last_training_stage, model)
    return model

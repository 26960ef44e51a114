"""Two steps of both stages of every recipe, on images of noise, narrow and small: that its parts fit each other.

Under XLA and at the encoder's depth this takes an hour on 2 cores: `make test PYTEST_ARGS="-m recipes"`. Else it is
done for a few that are unlike each other, without XLA and with one block in each group of the encoder.
"""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import flags
from supcon_tf import config as config_lib
from supcon_tf import optimizers
from supcon_tf.cli.recipes import names
from supcon_tf.models import encoders
from supcon_tf.models.precision import precision_policy
from supcon_tf.run import build

SHAPE, CLASSES, IMAGES = (32, 32, 3), 5, 8
NARROW = 1 / 16
PARTS = ("encoder", "projection_head", "linear")
UNLIKE = (
    *("imagenet2012_supcon", "imagenet2012_simclr", "imagenet2012_ce_resnet200", "imagenet2012_supcon_queue"),
    *("cifar10_supcon", "cifar10_simclr_tensorflow"),
)


def tiny(recipe):
    """Returns the options of the recipe, narrow, for batches of a few small images."""
    dataset = ["--dataset=x"] if "default" in recipe or "preset" in recipe else []
    mode = ["--mode=supcon"] if "preset" in recipe else []
    asked = flags.parse(["app.py", f"--recipe={recipe}", *dataset, *mode]).config
    values = {**config_lib.values(asked), "encoder_width": NARROW, "image_size": SHAPE[0], "queue_size": 0}
    if asked.hardware.precision == "auto":  # which the devices decide
        values["precision"] = "bfloat16"
    if asked.loss.queue_size:
        values["queue_size"] = 12
    if asked.data.dataset == "imagenet2012":
        values["stem"] = "imagenet"  # which it has by the size of its images
    return config_lib.from_values(values)


def two_steps(model, *batch, parts):
    """Trains; asserts that the loss is finite and that exactly these parts of the model have weights that move."""
    model.optimizer.build(model.trainable_variables)
    before = {
        part: [weight.numpy() for weight in getattr(model, part).weights] for part in PARTS if hasattr(model, part)
    }
    losses = [model.train_on_batch(*batch, return_dict=True)["loss"] for _ in range(2)]
    assert np.all(np.isfinite(losses))
    moved = {
        part
        for part, were in before.items()
        if any(np.any(weight.numpy() != was) for weight, was in zip(getattr(model, part).weights, were))
    }
    assert moved == set(parts)


def run_both_stages(recipe, jit_compile):
    config = tiny(recipe)
    config = dataclasses.replace(config, hardware=dataclasses.replace(config.hardware, jit_compile=jit_compile))
    labels = tf.constant(np.arange(IMAGES) % CLASSES // 2, tf.int32)
    learning_rate = optimizers.WarmupThenDecay(0.1, 0, 10)
    views = np.random.default_rng(0).integers(0, 256, (IMAGES, config.augment.num_views, *SHAPE)).astype(np.uint8)
    with precision_policy(config.hardware.precision):
        if config.run.mode != "ce":
            model = build.make_contrastive_model(config, SHAPE, CLASSES)
            optimizer = build.make_optimizer(config.pretrain, config.training, model, learning_rate)
            build.compile_contrastive_model(model, optimizer, config)
            two_steps(model, tf.constant(views), labels, parts=("encoder", "projection_head"))
        stage = "pretrain" if config.run.mode == "ce" else "linear"
        classifier = build.make_classifier(config, SHAPE, CLASSES, stage=stage)
        optimizer = build.make_optimizer(config.stage(stage), config.training, classifier, learning_rate)
        build.compile_classifier(
            classifier, optimizer, config.hardware, label_smoothing=config.training.label_smoothing
        )
        trained = ("linear",) if stage == "linear" else ("encoder", "linear")
        two_steps(classifier, tf.constant(views[:, 0]), labels, tf.ones([IMAGES]), parts=trained)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", UNLIKE)
def test_a_recipes_parts_fit_each_other(recipe, monkeypatch):
    for name, architecture in encoders.ARCHITECTURES.items():
        blocks = (1,) * len(architecture.blocks)
        monkeypatch.setitem(encoders.ARCHITECTURES, name, architecture._replace(blocks=blocks))
    run_both_stages(recipe, jit_compile=False)


@pytest.mark.slow
@pytest.mark.recipes
@pytest.mark.parametrize("recipe", names())
def test_a_recipe_runs_under_xla(recipe):
    run_both_stages(recipe, jit_compile=True)

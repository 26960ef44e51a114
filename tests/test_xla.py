"""The whole training step is lowered to XLA's HLO with static shapes, as TPUs need it, and where told is run by it."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf import config as config_lib
from supcon_tf import optimizers
from supcon_tf.models.precision import precision_policy
from supcon_tf.run import build

SHAPE = (8, 8, 3)
IMAGES = 8
SMALL = {"encoder": "small", "encoder_width": 0.0625, "projection_layers": (8, 4)}
FORMS = [
    pytest.param(
        {"summation": summation, "denominator": denominator},
        marks=() if (summation, denominator) in (("out", "all"), ("in", "one_positive")) else pytest.mark.slow,
    )
    for summation, denominator in itertools.product(config_lib.SUMMATIONS, config_lib.DENOMINATORS)
]
OPTIONS = [
    {"positives_cap": 1},
    {"precision": "float16", "microbatch_size": 2},
]
MORE = [
    {"learn_temperature": True},
    {"queue_size": 24, "microbatch_size": 2, "summation": "in"},
    {"mode": "simclr"},
    {"anchors": "one"},
    {"scale_by_temperature": True},
    {"contrastive_loss": "npairs"},
    {"contrastive_loss": "triplet"},
    {"normalize_projection": False},
    {"projection_batch_norm": True},
    {"sync_batch_norm": True},
    {"microbatch_size": 2},
    {"queue_size": 24},
    {"precision": "bfloat16"},
    {"precision": "float16"},
    *({"optimizer": name} for name in config_lib.OPTIMIZERS),
]


def make_model(values, multi_label=False):
    """Returns a model as a run compiles it, and a batch for it."""
    options = {"mode": "supcon", "pretrain_epochs": 20, "weight_decay": 1e-4, "linear_weight_decay": 1e-4}
    config = config_lib.from_values({**options, **SMALL, **values})
    with precision_policy(config.hardware.precision):
        return make_model_of(config, multi_label)


def make_model_of(config, multi_label):
    optimizer = optimizers.make_optimizer(config.pretrain.optimizer, optimizers.WarmupThenDecay(0.1, 0, 10))
    views = np.random.default_rng(0).integers(0, 256, (IMAGES, config.augment.num_views, *SHAPE)).astype(np.uint8)
    labels = tf.constant(np.arange(IMAGES) % 3 - 1, tf.int32)
    if config.run.mode == "ce" or config.run.stages == ("linear",):
        stage = "linear" if config.run.stages == ("linear",) else "pretrain"
        model = build.make_classifier(config, SHAPE, 3, stage=stage)
        build.compile_classifier(model, optimizer, config.hardware, multi_label=multi_label)
        if multi_label:
            several = tf.one_hot(labels, 3, dtype=tf.int32)
            return model, (tf.constant(views[:, 0]), several, tf.ones([IMAGES, 3]))
        return model, (tf.constant(views[:, 0]), tf.maximum(labels, 0), tf.ones([IMAGES]))
    model = build.make_contrastive_model(config, SHAPE, 3)
    build.compile_contrastive_model(model, optimizer, config)
    return model, (tf.constant(views), labels)


def lowered(values, multi_label=False):
    """The step's HLO."""
    model, batch = make_model(values, multi_label)
    model.optimizer.build(model.trainable_variables)
    outputs = model(tf.cast(batch[0], tf.float32))
    model.compiled_loss.build(outputs)
    if model.compiled_metrics is not None:
        model.compiled_metrics.build(outputs, batch[1])
    step = tf.function(lambda *batch: model.train_step(batch), jit_compile=True)
    return step.experimental_get_compiler_ir(*batch)(stage="hlo")


def assert_static(hlo):
    assert hlo.startswith("HloModule") and "dot(" in hlo
    assert "<=" not in hlo  # which bounds a dynamic dimension


@pytest.mark.parametrize(
    ("encoder", "mode"),
    [("resnet18", "supcon"), pytest.param("resnet50", "supcon", marks=pytest.mark.slow), ("small", "ce")],
)
def test_step_of_every_kind_of_block_has_static_shapes(encoder, mode):
    assert_static(lowered({"mode": mode, "encoder": encoder}))


@pytest.mark.parametrize(
    "values",
    [*FORMS, *OPTIONS, *(pytest.param(values, marks=pytest.mark.slow) for values in MORE)],
    ids=lambda values: "-".join(map(str, values.values())),
)
def test_step_of_every_form_and_option_has_static_shapes(values):
    assert_static(lowered(values))


def test_step_of_the_linear_stage_has_static_shapes():
    assert_static(lowered({"mode": "supcon", "stages": ("linear",)}))


def test_step_of_images_with_several_classes_has_static_shapes():
    assert_static(lowered({"mode": "ce"}, multi_label=True))


@pytest.mark.slow
@pytest.mark.parametrize("values", [{}, {"mode": "ce"}, {"queue_size": 24, "microbatch_size": 2, "summation": "in"}])
def test_step_run_by_xla_gives_the_figures_of_one_that_is_not(values):
    figures = []
    for jit_compile in (False, True):
        model, batch = make_model(values)
        step = tf.function(lambda *batch, model=model: model.train_step(batch), jit_compile=jit_compile)
        if jit_compile:
            model.optimizer.build(model.trainable_variables)
        figures.append([{name: float(value) for name, value in step(*batch).items()} for _ in range(3)])
        keras.backend.clear_session()
    for found, expected in zip(*figures):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-3, err_msg=name)

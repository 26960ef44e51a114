"""Checks where the weights of a training stage come from: every case, and the weights themselves."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf import config as config_lib
from supcon_tf.data import catalogue
from supcon_tf.errors import ArgumentError
from supcon_tf.run import build, weights
from supcon_tf.run.weights import InitialWeights
from supcon_tf.run_dir import RunDir
from supcon_tf.training import checkpoints

SHAPE, CLASSES = (10, 10, 3), 3
TINY = {"mode": "supcon", "encoder": "small", "encoder_width": 0.125, "projection_layers": (8,)}
ELSEWHERE = {"warm_start": "other", "warm_start_parts": ("encoder", "projection_head", "classifier")}


def config_of(**values):
    return config_lib.from_values({**TINY, **values})


def start_stages(path, *stages):
    """Returns the folder of a run in which these stages have saved a checkpoint."""
    run_dir = RunDir(str(path))
    for stage in stages:
        checkpoint = tf.train.Checkpoint(step=tf.Variable(1))
        tf.train.CheckpointManager(checkpoint, run_dir.checkpoints(stage), max_to_keep=1).save(checkpoint_number=1)
    return run_dir


@pytest.mark.parametrize(
    ("stage", "options", "started", "expected"),
    [
        ("pretrain", {}, (), InitialWeights(encoder_weights=True)),
        ("pretrain", ELSEWHERE, (), InitialWeights(encoder_weights=True, warm_start=("encoder", "projection_head"))),
        (
            "pretrain",
            {"mode": "ce", "warm_start": "other", "warm_start_parts": ("classifier",)},
            (),
            InitialWeights(encoder_weights=True, warm_start=("classifier",)),
        ),
        ("pretrain", ELSEWHERE, ("pretrain",), InitialWeights(resumed=True)),
        ("linear", {}, ("pretrain",), InitialWeights(pretrained_here=True)),
        ("linear", ELSEWHERE, ("pretrain",), InitialWeights(pretrained_here=True, warm_start=("classifier",))),
        ("linear", {}, ("pretrain", "linear"), InitialWeights(resumed=True)),
        (
            "linear",
            {**ELSEWHERE, "stages": ("linear",)},
            (),
            InitialWeights(encoder_weights=True, warm_start=("encoder", "classifier")),
        ),
        # The run has trained an encoder itself, so a later command for the stage 'linear' alone takes that one.
        (
            "linear",
            {**ELSEWHERE, "stages": ("linear",)},
            ("pretrain",),
            InitialWeights(pretrained_here=True, warm_start=("classifier",)),
        ),
        ("linear", {"stages": ("linear",)}, (), InitialWeights(pretrained_here=True)),
    ],
)
def test_sources_of_a_stage(stage, options, started, expected, tmp_path):
    assert weights.initial_weights(config_of(**options), start_stages(tmp_path, *started), stage) == expected


def test_an_encoder_is_not_trained_after_a_classifier_on_one_from_elsewhere(tmp_path):
    run_dir = start_stages(tmp_path, "linear")
    with pytest.raises(ArgumentError, match="stages='pretrain': .* has a linear classifier on an encoder that was not"):
        weights.initial_weights(config_of(**ELSEWHERE), run_dir, "pretrain")


@pytest.mark.parametrize(
    ("options", "started", "expected"),
    [
        ({}, (), ("pretrain", "linear")),
        ({**ELSEWHERE, "stages": ("linear",)}, (), ("linear",)),
        ({**ELSEWHERE, "stages": ("linear",)}, ("pretrain",), ("pretrain", "linear")),
        ({**ELSEWHERE, "stages": ("pretrain", "linear")}, (), ("pretrain", "linear")),
    ],
)
def test_stages_that_train(options, started, expected, tmp_path):
    assert weights.trained_stages(config_of(**options), "linear", start_stages(tmp_path, *started)) == expected


def test_a_plan_counts_the_stages_that_a_fresh_run_would_train():
    assert weights.trained_stages(config_of(), "linear") == ("pretrain", "linear")
    assert weights.trained_stages(config_of(**ELSEWHERE, stages=("linear",)), "linear") == ("linear",)
    assert weights.trained_stages(config_of(mode="ce"), "pretrain") == ("pretrain",)


@pytest.mark.parametrize(
    "values, pretrained",
    [
        ({}, False),
        ({"warm_start": "x"}, True),
        ({"warm_start": "x", "warm_start_parts": ("classifier",)}, False),
        ({"encoder": "keras:VGG16"}, False),
        ({"encoder": "keras:VGG16", "encoder_weights": "imagenet"}, True),
        ({"encoder": "./mine"}, True),
    ],
)
def test_an_encoder_with_weights_from_elsewhere_is_pretrained(values, pretrained):
    assert weights.uses_pretrained_encoder(config_lib.from_values(values).model) == pretrained


def save_pretrained(path, **values):
    """Saves a freshly built model as the finished stage 'pretrain' of a run; returns the model."""
    config = config_of(**values)
    model = build.make_contrastive_model(config, SHAPE, CLASSES)
    build.compile_contrastive_model(model, keras.optimizers.SGD(), config)
    model.optimizer.iterations.assign(5)
    run_dir = RunDir(str(path))
    checkpoints.Checkpoints(model, run_dir.checkpoints("pretrain")).save()
    found = {"prepared_data": "x", "whitening_constants": {"mean": [0.1], "std": [0.5]}, "total_steps": {"pretrain": 5}}
    run_dir.claim(config, found)
    return model


def first_weights(layer):
    return layer.get_weights()[0]


def test_encoder_head_and_queue_start_like_those_of_another_run(tmp_path):
    other = save_pretrained(tmp_path / "other")
    options = {"warm_start": str(tmp_path / "other"), "warm_start_parts": ("encoder", "projection_head")}
    config = config_of(**options, queue_size=16, seed=5)
    run_dir = RunDir(str(tmp_path / "run"))
    model = build.make_contrastive_model(config, SHAPE, CLASSES)
    fresh = {part: first_weights(getattr(model, part)).copy() for part in ("encoder", "projection_head")}
    start = weights.initial_weights(config, run_dir, "pretrain")
    weights.load_initial_weights(start, config.model, run_dir, model, "abc")
    for part, value in fresh.items():
        expected = first_weights(getattr(other, part))
        assert np.any(value != expected)
        np.testing.assert_array_equal(first_weights(getattr(model, part)), expected)
        np.testing.assert_array_equal(first_weights(getattr(model.queue, part)), expected)


def test_a_resumed_stage_reads_nothing_but_its_checkpoint(tmp_path):
    config = config_of(warm_start=str(tmp_path / "is not there"))
    run_dir = start_stages(tmp_path / "run", "pretrain")
    model = build.make_contrastive_model(config, SHAPE, CLASSES)
    before = model.get_weights()
    start = weights.initial_weights(config, run_dir, "pretrain")
    weights.load_initial_weights(start, config.model, run_dir, model, "abc")
    for value, expected in zip(model.get_weights(), before):
        np.testing.assert_array_equal(value, expected)


def test_the_classifier_is_trained_on_the_encoder_of_stage_pretrain(tmp_path):
    pretrained = save_pretrained(tmp_path, seed=3)
    config, run_dir = config_of(), RunDir(str(tmp_path))
    model = build.make_classifier(config, SHAPE, CLASSES, stage="linear")
    start = weights.initial_weights(config, run_dir, "linear")
    weights.load_initial_weights(start, config.model, run_dir, model, "abc")
    np.testing.assert_array_equal(first_weights(model.encoder), first_weights(pretrained.encoder))


def test_encoder_weights_are_read_where_a_stage_says_so_and_only_there(tmp_path, monkeypatch):
    def make(*, include_top, weights, input_shape):
        images = keras.Input(input_shape)
        return keras.Model(images, keras.layers.Conv2D(4, 3)(images))

    make.__module__ = keras.applications.VGG16.__module__
    monkeypatch.setattr(keras.applications, "VGG16", make)
    pretrained = make(include_top=False, weights=None, input_shape=SHAPE)
    path = tmp_path / "weights.h5"
    pretrained.save_weights(path)
    options = {"encoder": "keras:VGG16", "encoder_weights": str(path), "encoder_width": 1.0}
    config = config_of(**options)
    for model in (
        build.make_contrastive_model(config, SHAPE, CLASSES, encoder_weights=True),
        build.make_classifier(config, SHAPE, CLASSES, stage="linear", encoder_weights=True),
    ):
        np.testing.assert_array_equal(first_weights(model.encoder), first_weights(pretrained))
    path.unlink()  # a resumed run, evaluation and export do without the file
    build.make_contrastive_model(config, SHAPE, CLASSES)
    build.make_classifier(config, SHAPE, CLASSES)


MEASURED = config_lib.Whitening((0.25,), (0.75,))
RECORD = {"whitening_constants": {"mean": [0.3], "std": [0.2]}}
IN_CATALOGUE = catalogue.DatasetDefaults(whitening=config_lib.Whitening((0.5,), (0.6,)))


@pytest.mark.parametrize(
    ("options", "defaults", "record", "expected"),
    [
        ({}, catalogue.DatasetDefaults(), None, MEASURED),
        ({}, IN_CATALOGUE, None, IN_CATALOGUE.whitening),
        ({}, IN_CATALOGUE, RECORD, config_lib.Whitening((0.3,), (0.2,))),
        ({"whitening": "none"}, IN_CATALOGUE, RECORD, config_lib.NO_WHITENING),
        ({"encoder": "keras:VGG16", "encoder_width": 1.0}, IN_CATALOGUE, None, config_lib.NO_WHITENING),
        ({"warm_start": "other"}, IN_CATALOGUE, None, config_lib.Whitening((0.1,), (0.5,))),
        ({"warm_start": "other", "warm_start_parts": ("projection_head",)}, IN_CATALOGUE, None, IN_CATALOGUE.whitening),
    ],
)
def test_whitening_constants_come_from_where_the_encoder_comes_from(
    options, defaults, record, expected, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(catalogue.CATALOGUE, "digits", defaults)
    save_pretrained("other")
    assert weights.whitening_constants(config_of(**options), record, lambda: MEASURED) == expected

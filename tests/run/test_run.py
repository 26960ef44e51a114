"""Whole runs on a few small images: what is trained is what is evaluated and exported."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow import keras

from supcon_tf import config as config_lib
from supcon_tf import models
from supcon_tf.errors import UserError
from supcon_tf.run import batches, build
from supcon_tf.run import run as run_lib
from supcon_tf.training import checkpoints


class Shades(tfds.core.GeneratorBasedBuilder):
    """Images about as bright as `LEVEL`, so that what is prepared can become another."""

    VERSION = tfds.core.Version("1.0.0")
    LEVEL = 60
    SIZE = 10

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(self.SIZE, self.SIZE, 3)),
            "label": tfds.features.ClassLabel(names=["a", "b", "c"]),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0), "test": self._generate_examples(100)}

    def _generate_examples(self, first):
        for i in range(first, first + 24):
            shape = (self.SIZE, self.SIZE, 3)
            pixels = np.random.default_rng(i).integers(0, 2 * self.LEVEL, shape) // [1, 2, 3]
            yield i, {"image": pixels.astype(np.uint8), "label": i % 3}


OPTIONS = {
    "mode": "supcon",
    "dataset": "shades",
    "encoder": "small",
    "encoder_width": 0.125,
    "projection_layers": (8,),
    "augment": ("crop_flip",),
    "pretrain_epochs": 1,
    "warmup_epochs": 0.0,
    "batch_size": 12,
    "linear_epochs": 1,
    "linear_batch_size": 12,
}


def prepare(tmp_path, **values):
    given = {**OPTIONS, "data_dir": str(tmp_path / "data"), "run_dir": str(tmp_path / "run"), **values}
    config = config_lib.from_values(given)
    return config, run_lib.prepare(config, tf.distribute.OneDeviceStrategy("/cpu:0"))


def build_contrastive_model(experiment, **arguments):
    shape, classes, constants = experiment.image_shape, experiment.num_classes, experiment.whitening
    return build.make_contrastive_model(experiment.config, shape, classes, whitening=constants, **arguments)


def build_classifier(experiment):
    shape, classes, constants = experiment.image_shape, experiment.num_classes, experiment.whitening
    return build.make_classifier(experiment.config, shape, classes, whitening=constants)


def test_an_encoder_file_that_is_missing_is_refused_before_the_folder_is_claimed(tmp_path, capsys):
    with pytest.raises(UserError, match=r"encoder='\./nope\.keras': no such file or folder"):
        prepare(tmp_path, mode="ce", encoder="./nope.keras", encoder_width=1.0)
    assert not (tmp_path / "run").exists() and "run in" not in capsys.readouterr().err


def test_images_are_whitened_once_in_training_evaluation_and_the_exported_model(tmp_path):
    config, experiment = prepare(tmp_path, mode="ce", stages=("pretrain", "export"))
    run_lib.run(config, experiment.strategy)
    mean, std = np.array(experiment.whitening, np.float64)
    assert mean.max() < -0.4 and mean.min() < -0.8 and std.max() < 0.5  # far from 0 and 1

    plain = models.build_encoder("small", experiment.image_shape, width=0.125)
    checkpoints.restore(experiment.run_dir.checkpoints("pretrain"), encoder=plain)
    images = np.stack(
        [example["image"] for example in experiment.data.builder.as_dataset(split="test").as_numpy_iterator()]
    )
    seen = experiment.evaluation_view(images).numpy()
    whitened = (seen / 127.5 - 1 - mean) / std
    expected = tf.math.l2_normalize(plain(127.5 * (whitened + 1)), axis=1).numpy()

    make_batches = batches.training_batches(
        experiment.images,
        batches.make_augmentation(experiment.config.augment, experiment.image_shape[0], experiment.num_classes),
        experiment.steps("pretrain"),
        seed=0,
    )
    batch = next(iter(make_batches(0, tf.distribute.InputContext())))
    assert batch["views"].dtype == tf.uint8  # the pipeline leaves the whitening to the encoder
    trained = build_contrastive_model(experiment)
    evaluated = build_classifier(experiment)
    for model in (trained, evaluated):
        checkpoints.restore(experiment.run_dir.checkpoints("pretrain"), encoder=model.encoder)
        np.testing.assert_allclose(model.embed(tf.constant(seen)), expected, atol=1e-5)
    served = tf.saved_model.load(experiment.run_dir.saved_model).signatures["embed"](images=tf.constant(images))
    np.testing.assert_allclose(served["embedding"], expected, atol=1e-5)
    assert np.abs(expected - tf.math.l2_normalize(plain(seen), axis=1)).max() > 1e-2


def test_a_resumed_run_keeps_its_constants_although_the_data_have_changed(tmp_path, monkeypatch):
    _, first = prepare(tmp_path)
    (tmp_path / "run/checkpoints").mkdir()
    monkeypatch.setattr(Shades, "LEVEL", 120)
    (_, resumed), (_, fresh) = (prepare(tmp_path, data_dir=str(tmp_path / "other"), **run) for run in
                                  ({}, {"run_dir": str(tmp_path / "run2")}))  # fmt: skip
    assert resumed.whitening == first.whitening != fresh.whitening
    assert resumed.described()["whitening"].startswith("mean -0.")
    with pytest.raises(UserError, match=r"whitening=.none. \(was auto\)"):
        prepare(tmp_path, whitening="none")


def test_without_whitening_images_stay_between_minus_one_and_one(tmp_path):
    _, experiment = prepare(tmp_path, whitening="none")
    assert experiment.whitening == config_lib.NO_WHITENING and experiment.described()["whitening"] == "none"
    encoder = build_classifier(experiment).encoder
    rescale = encoder.get_layer("rescale")
    np.testing.assert_allclose(rescale(np.array([[[[0, 127.5, 255]]]]))[0, 0, 0], [-1, 0, 1], atol=1e-6)


def save_user_model(path):
    """A model of the user's for images of any size, and what it makes of one."""
    images = keras.Input((None, None, 3))
    features = keras.layers.Conv2D(4, 3, activation="relu", name="mine")(keras.layers.Rescaling(1 / 255)(images))
    model = keras.Model(images, keras.layers.BatchNormalization()(features))
    model.save(path)
    return model


def test_a_users_model_is_trained_and_exported_with_images_as_it_knows_them(tmp_path):
    model = save_user_model(tmp_path / "mine.keras")
    given = {"mode": "ce", "stages": ("pretrain", "export"), "encoder": str(tmp_path / "mine.keras")}
    config, experiment = prepare(tmp_path, **given, encoder_width=1.0)
    assert experiment.whitening == config_lib.NO_WHITENING
    begun = build_contrastive_model(experiment)
    images = np.random.default_rng(0).integers(0, 256, (3, 10, 10, 3), np.uint8)
    expected = tf.math.l2_normalize(tf.reduce_mean(model(images), axis=(1, 2)), axis=1)
    np.testing.assert_allclose(begun.embed(images), expected, atol=1e-6)
    run_lib.run(config, experiment.strategy)
    evaluated = build_classifier(experiment)
    checkpoints.restore(experiment.run_dir.checkpoints("pretrain"), encoder=evaluated.encoder)
    served = tf.saved_model.load(experiment.run_dir.saved_model).signatures["embed"](images=tf.constant(images))
    seen = experiment.evaluation_view(tf.constant(images))
    np.testing.assert_allclose(served["embedding"], evaluated.embed(seen), atol=1e-5)
    assert np.any(np.abs(evaluated.embed(images) - expected) > 1e-4)


@pytest.fixture
def pretrained_run(tmp_path):
    """A run whose stage 'pretrain' is finished, with fresh weights, and its model."""
    config, experiment = prepare(tmp_path / "other")
    model = build_contrastive_model(experiment)
    build.compile_contrastive_model(model, keras.optimizers.SGD(), config)
    model.optimizer.iterations.assign(experiment.steps("pretrain").total_steps)
    checkpoints.Checkpoints(model, experiment.run_dir.checkpoints("pretrain")).save()
    return experiment, model


@pytest.mark.slow
def test_linear_evaluation_by_transfer(pretrained_run, tmp_path, monkeypatch):
    """A classifier on another run's encoder is trained on other images, evaluated and exported."""
    monkeypatch.setattr(Shades, "LEVEL", 120)
    other, pretrained = pretrained_run
    stages = {"stages": ("linear", "evaluate", "export")}
    given = {"warm_start": other.run_dir.path}
    prepare(tmp_path, **given, **stages, batch_size=1000)  # a stage that is left out imposes nothing
    config, experiment = prepare(tmp_path, **given, **stages)
    assert experiment.whitening == other.whitening
    run_lib.run(config, experiment.strategy)
    assert json.loads((tmp_path / "run/metrics.json").read_text())["images"] == 24
    served = tf.saved_model.load(experiment.run_dir.saved_model).signatures["embed"]
    images = np.random.default_rng(0).integers(0, 256, (3, 10, 10, 3), np.uint8)
    expected = pretrained.embed(experiment.evaluation_view(tf.constant(images)))
    np.testing.assert_allclose(served(images=tf.constant(images))["embedding"], expected, atol=1e-5)

    # Running again changes nothing, even if the other run is gone. The encoder is never trained afterwards.
    tf.io.gfile.rmtree(other.run_dir.path)
    before = files_of(tmp_path / "run")
    run_lib.run(config, experiment.strategy)
    assert files_of(tmp_path / "run") == before
    with pytest.raises(UserError, match="stages='pretrain': .* has a linear classifier on an encoder that was not"):
        run_lib.run(config_lib.from_values({**config_lib.values(config), **given, "stages": ("pretrain",)}),
                    experiment.strategy)  # fmt: skip


def files_of(folder):
    """Returns the time of the last change of each file."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_run_leaves_the_global_precision_policy_as_it_was(tmp_path, monkeypatch):
    config, experiment = prepare(tmp_path, mode="ce", precision="bfloat16", stages=("pretrain", "export"))
    run_lib.run(config, experiment.strategy)
    assert keras.mixed_precision.global_policy().name == "float32"
    tf.io.gfile.rmtree(experiment.run_dir.saved_model)

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("supcon_tf.run.stages.write_saved_model", fail)
    with pytest.raises(OSError, match="disk full"):
        run_lib.run(config, experiment.strategy)
    assert keras.mixed_precision.global_policy().name == "float32"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"stages": ("pretrain", "evaluate")}, "stages='evaluate': needs the finished stage 'linear'"),
        ({"stages": ("pretrain", "export")}, "stages='export': needs the finished stage 'linear'"),
        ({"stages": ("linear",)}, "stages='linear': needs the finished stage 'pretrain'"),
        ({"mode": "ce", "stages": ("evaluate",)}, "stages='evaluate': needs the finished stage 'pretrain'"),
        (
            {"linear_warmup_epochs": 0.99, "linear_batch_size": 10},
            "linear_warmup_epochs=0.99: leaves no step for the decay",
        ),
    ],
)
def test_what_a_later_stage_lacks_is_said_before_any_training(options, complaint, tmp_path):
    with pytest.raises(UserError, match=complaint):
        prepare(tmp_path, **options)
    assert not (tmp_path / "run").exists()

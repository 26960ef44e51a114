"""What the data set decides about a run, and that a run keeps to it."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow import keras

from supcon_tf import config as config_lib
from supcon_tf import experiment as experiment_lib
from supcon_tf import models
from supcon_tf.data import catalogue
from supcon_tf.errors import UserError
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
    "pretrain_epochs": 1,
    "warmup_epochs": 0.0,
    "batch_size": 12,
    "linear_epochs": 1,
    "linear_batch_size": 12,
}


def prepare(tmp_path, **values):
    given = {**OPTIONS, "data_dir": str(tmp_path / "data"), "run_dir": str(tmp_path / "run"), **values}
    config = config_lib.from_values(given)
    return config, experiment_lib.prepare(config, tf.distribute.OneDeviceStrategy("/cpu:0"))


def settle(past=None, **values):
    """Option → value, as settled."""
    config = config_lib.from_values({"mode": "supcon", **values})
    recorded = past and config_lib.recorded(past)
    return config_lib.values(experiment_lib.settle(config, catalogue.facts(config.data.dataset), recorded))


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ("cifar10:3.0.2", {"image_size": 32, "stem": "small", "crop_min_area": 0.2, "eval_crop": 1.0}),
        ("imagenet2012", {"image_size": 224, "stem": "imagenet", "crop_min_area": 0.08, "eval_crop": 0.875}),
        ("folder:/x", {"image_size": None, "stem": "auto", "crop_min_area": 0.08, "eval_crop": 0.875}),
        ("dtd", {"train_split": "train+validation", "validation_split": None, "eval_split": None}),
        ("cifar100", {"train_split": None, "whitening": "auto"}),
    ],
)
def test_options_left_open_are_the_data_sets(dataset, expected):
    settled = settle(dataset=dataset)
    assert {name: settled[name] for name in expected} == expected


def test_what_the_user_gives_wins_over_the_data_set():
    given = {"image_size": 64, "stem": "imagenet", "crop_min_area": 0.3, "eval_crop": 0.5, "train_split": "train[:9]"}
    settled = settle(dataset="oxford_flowers102", **given)
    assert {name: settled[name] for name in given} == given
    assert settle(dataset="imagenet2012", image_size=32)["stem"] == "auto"  # not that of 224 pixels


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"validation_split": "validation"}, None),
        ({"validation_split": "train[90%:]"}, None),
        ({"eval_split": "validation[:10%]"}, None),
        ({"eval_split": "all"}, None),
        ({"eval_split": "test[:50%]"}, "train+validation"),
        ({"validation_split": "none"}, "train+validation"),
    ],
)
def test_images_that_are_held_out_are_not_trained_on(given, expected):
    assert settle(dataset="dtd", **given)["train_split"] == expected


def test_contradiction_to_what_the_data_set_decides_is_named():
    with pytest.raises(UserError, match=r"crop_min_area=0.2: must not exceed crop_max_area=0.1"):
        settle(dataset="cifar10", crop_max_area=0.1)


def test_a_resumed_run_keeps_the_values_of_its_record():
    then = config_lib.from_values({"dataset": "dtd", "crop_min_area": 0.08, "eval_crop": 0.875, "whitening": "none"})
    past = json.loads(json.dumps(config_lib.identity(then)))
    settled = settle(past, dataset="dtd")
    assert settled["whitening"] == "none" and (settled["crop_min_area"], settled["eval_crop"]) == (0.08, 0.875)
    assert (settled["train_split"], settled["image_size"], settled["stem"]) == (None, None, "auto")
    assert config_lib.differences(past, config_lib.from_values(settled)) == []


def test_a_run_goes_on_with_what_was_settled_although_the_catalogue_has_changed():
    past = json.loads(json.dumps(settle(dataset="cifar10")))
    past.update(crop_min_area=0.15, eval_crop=0.9)
    settled = settle(past, dataset="cifar10")
    assert (settled["crop_min_area"], settled["eval_crop"], settled["image_size"]) == (0.15, 0.9, 32)


def test_images_are_whitened_once_in_training_evaluation_and_the_exported_model(tmp_path):
    config, experiment = prepare(tmp_path, mode="ce", stages=("pretrain", "export"))
    experiment_lib.run(config, experiment.strategy)
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

    views, _ = next(iter(experiment_lib.contrastive_batches(experiment)(0, tf.distribute.InputContext())))
    assert views.dtype == tf.uint8  # the pipeline leaves it to the encoder
    trained = experiment_lib.make_contrastive_model(experiment)
    evaluated = experiment_lib.make_classifier(experiment)
    for model in (trained, evaluated):
        checkpoints.restore(experiment.run_dir.checkpoints("pretrain"), encoder=model.encoder)
        np.testing.assert_allclose(model.embed(tf.constant(seen)), expected, atol=1e-5)
    served = tf.saved_model.load(experiment.run_dir.saved_model).signatures["embed"](images=tf.constant(images))
    np.testing.assert_allclose(served["embedding"], expected, atol=1e-5)
    assert np.abs(expected - tf.math.l2_normalize(plain(seen), axis=1)).max() > 1e-2


def test_a_continued_run_keeps_its_constants_although_the_data_have_changed(tmp_path, monkeypatch):
    _, first = prepare(tmp_path)
    (tmp_path / "run/checkpoints").mkdir()
    monkeypatch.setattr(Shades, "LEVEL", 120)
    (_, continued), (_, fresh) = (prepare(tmp_path, data_dir=str(tmp_path / "other"), **run) for run in
                                  ({}, {"run_dir": str(tmp_path / "run2")}))  # fmt: skip
    assert continued.whitening == first.whitening != fresh.whitening
    assert continued.described()["whitening"].startswith("mean -0.")
    with pytest.raises(UserError, match=r"--whitening=none \(was --whitening=auto\)"):
        prepare(tmp_path, whitening="none")


def test_without_whitening_images_stay_between_minus_one_and_one(tmp_path):
    _, experiment = prepare(tmp_path, whitening="none")
    assert experiment.whitening == catalogue.NO_WHITENING and experiment.described()["whitening"] == "none"
    encoder = experiment_lib.make_classifier(experiment).encoder
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
    assert experiment.whitening == catalogue.NO_WHITENING
    begun = experiment_lib.make_contrastive_model(experiment, begins=True)
    images = np.random.default_rng(0).integers(0, 256, (3, 10, 10, 3), np.uint8)
    expected = tf.math.l2_normalize(tf.reduce_mean(model(images), axis=(1, 2)), axis=1)
    np.testing.assert_allclose(begun.embed(images), expected, atol=1e-6)
    experiment_lib.run(config, experiment.strategy)
    evaluated = experiment_lib.make_classifier(experiment)
    checkpoints.restore(experiment.run_dir.checkpoints("pretrain"), encoder=evaluated.encoder)
    served = tf.saved_model.load(experiment.run_dir.saved_model).signatures["embed"](images=tf.constant(images))
    seen = experiment.evaluation_view(tf.constant(images))
    np.testing.assert_allclose(served["embedding"], evaluated.embed(seen), atol=1e-5)
    assert np.any(np.abs(evaluated.embed(images) - expected) > 1e-4)


def test_encoder_weights_are_read_once_when_training_begins(tmp_path, monkeypatch):
    def make(*, include_top, weights, input_shape):
        images = keras.Input(input_shape)
        return keras.Model(images, keras.layers.Conv2D(4, 3)(images))

    make.__module__ = keras.applications.VGG16.__module__
    monkeypatch.setattr(keras.applications, "VGG16", make)
    pretrained = make(include_top=False, weights=None, input_shape=(10, 10, 3))
    pretrained.save_weights(tmp_path / "weights.h5")
    options = {"encoder": "keras:VGG16", "encoder_weights": str(tmp_path / "weights.h5"), "encoder_width": 1.0}
    for stage, given in (
        ("train_linear_classifier", {"stages": ("linear",)}),
        ("train_with_cross_entropy", {"mode": "ce"}),
        ("pretrain", {}),
    ):
        _, experiment = prepare(tmp_path, **given, **options)
        begun = []
        monkeypatch.setattr(experiment_lib, "fit", lambda model, *_, begun=begun, **__: begun.append(model))
        getattr(experiment_lib, stage)(experiment)
        np.testing.assert_array_equal(begun[0].encoder.get_weights()[0], pretrained.get_weights()[0])
    (tmp_path / "weights.h5").unlink()
    monkeypatch.setattr(experiment_lib.Experiment, "begins", lambda *_: False)
    experiment_lib.pretrain(experiment)
    experiment_lib.make_classifier(experiment)


@pytest.fixture
def pretrained_run(tmp_path):
    """The folder of a run that has pretrained a small encoder, in so far as it saved it, and that encoder."""
    _, experiment = prepare(tmp_path / "other")
    model = experiment_lib.make_contrastive_model(experiment)
    model.compile("sgd", experiment_lib.make_contrastive_loss(experiment.config, model))
    model.optimizer.iterations.assign(experiment.epochs("pretrain").total_steps)
    checkpoints.Checkpoints(model, experiment.run_dir.checkpoints("pretrain")).save()
    return experiment, model


def test_linear_evaluation_by_transfer(pretrained_run, tmp_path, monkeypatch):
    """On other images: what is trained, evaluated and exported is a classifier on the other run's encoder."""
    monkeypatch.setattr(Shades, "LEVEL", 120)
    other, pretrained = pretrained_run
    stages = {"stages": ("linear", "evaluate", "export")}
    given = {"warm_start": other.run_dir.path}
    prepare(tmp_path, **given, **stages, batch_size=1000)  # what the stage that is left out needs is not asked for
    config, experiment = prepare(tmp_path, **given, **stages)
    assert experiment_lib.one_class_for(config) is None  # as that stage would
    assert experiment.whitening == other.whitening
    experiment_lib.run(config, experiment.strategy)
    assert json.loads((tmp_path / "run/metrics.json").read_text())["images"] == 24
    served = tf.saved_model.load(experiment.run_dir.saved_model).signatures["embed"]
    images = np.random.default_rng(0).integers(0, 256, (3, 10, 10, 3), np.uint8)
    expected = pretrained.embed(experiment.evaluation_view(tf.constant(images)))
    np.testing.assert_allclose(served(images=tf.constant(images))["embedding"], expected, atol=1e-5)

    # The same command does nothing, also where the other run is gone; and its encoder is not trained afterwards.
    tf.io.gfile.rmtree(other.run_dir.path)
    monkeypatch.setattr(experiment_lib, "fit", None)
    experiment_lib.run(config, experiment.strategy)
    with pytest.raises(UserError, match="--stages=pretrain: .* has a linear classifier on an encoder that was not"):
        experiment_lib.pretrain(prepare(tmp_path, **given)[1])


def test_encoder_and_its_queue_begin_as_another_runs_but_for_a_run_that_goes_on(pretrained_run, tmp_path, monkeypatch):
    other, pretrained = pretrained_run
    parts = {"warm_start_parts": ("encoder", "projection_head"), "seed": 5}
    _, experiment = prepare(tmp_path, warm_start=other.run_dir.path, queue_size=16, **parts)
    begun = []
    monkeypatch.setattr(experiment_lib, "fit", lambda model, *_, **__: begun.append(model))
    experiment_lib.pretrain(experiment)
    monkeypatch.setattr(experiment_lib.Experiment, "begins", lambda *_: False)
    experiment_lib.pretrain(experiment)
    warm, fresh = begun
    for part in ("encoder", "projection_head"):
        first = getattr(pretrained, part).get_weights()[0]
        np.testing.assert_array_equal(getattr(warm, part).get_weights()[0], first)
        np.testing.assert_array_equal(getattr(warm.queue, part).get_weights()[0], first)
        assert np.any(getattr(fresh, part).get_weights()[0] != first)

"""Foreign encoders: models of keras.applications, and the user's models."""

import functools
import random
import re

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf import config as config_lib
from supcon_tf.errors import ArgumentError
from supcon_tf.losses import SupConLoss
from supcon_tf.models import Classifier, ContrastiveModel, ProjectionHead, build_application, load_encoder
from supcon_tf.models.applications import IMAGENET_DEVIATION, IMAGENET_MEAN, FamilyScaling

SHAPE = (32, 32, 3)


@pytest.fixture(scope="module", autouse=True)
def narrow():
    """Builds MobileNet with a quarter of the channels, to save time."""
    with pytest.MonkeyPatch.context() as patch:
        narrow_one = functools.partial(keras.applications.MobileNet, alpha=0.25)
        patch.setattr(keras.applications, "MobileNet", functools.update_wrapper(narrow_one, keras.applications.vgg16))
        narrow_one.__module__ = keras.applications.mobilenet.MobileNet.__module__
        yield


@pytest.fixture(scope="module")
def mobilenet(narrow):
    return build_application("MobileNet", SHAPE, seed=3)


@pytest.fixture
def bfloat16():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    yield
    keras.mixed_precision.set_global_policy("float32")


def random_images(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def user_model(*, outputs="vector", shape=(None, None, 3), dropout=0.0):
    inputs = keras.Input(shape)
    x = keras.layers.Conv2D(4, 3, strides=2, name="conv")(keras.layers.Rescaling(1 / 255)(inputs))
    x = keras.layers.Dropout(dropout, name="drop")(keras.layers.BatchNormalization()(x))
    if outputs != "map":
        x = keras.layers.Dense(5, activation="softmax")(keras.layers.GlobalMaxPooling2D()(x))
    return keras.Model(inputs, x)


def contrastive(encoder, **options):
    model = ContrastiveModel(encoder, ProjectionHead((8, 4)), num_classes=2, **options)
    loss = SupConLoss(0.1, memory=model.memory) if options.get("queue_size") else SupConLoss(0.1)
    return model, loss


def test_names_are_those_of_keras_applications():
    names = [name for name in dir(keras.applications) if callable(getattr(keras.applications, name))]
    assert sorted(config_lib.KERAS_ENCODERS) == sorted(f"keras:{name}" for name in names)


@pytest.mark.parametrize("family", ["mobilenet", "densenet", "resnet", "vgg16", "convnext"])
def test_images_are_scaled_as_their_family_does(family, bfloat16):
    images = random_images(2, 4, 4, 3).astype(np.float32)
    scaling = FamilyScaling(family)
    scaled = tf.function(scaling)(images)
    red, blue = images[..., 0], images[..., 2]
    expected = {
        "mobilenet": images / 127.5 - 1,
        "densenet": (images / 255 - IMAGENET_MEAN) / IMAGENET_DEVIATION,
        "convnext": images,  # the model scales by itself
    }.get(family)
    if expected is None:  # Caffe's order of channels
        expected = np.stack([blue - 103.939, images[..., 1] - 116.779, red - 123.68], axis=-1)
    assert scaled.dtype == tf.float32  # rounding to bfloat16 comes later
    np.testing.assert_allclose(scaled, expected, atol=1e-4)


def test_embedding_is_the_average_of_the_models_feature_map(mobilenet):
    images = random_images(2, *SHAPE)
    model = keras.applications.MobileNet(include_top=False, weights=None, input_shape=SHAPE)
    model.set_weights(mobilenet.get_weights())
    scaled = keras.applications.mobilenet.preprocess_input(images.astype(np.float32))
    # In training mode, because with its initial averages a fresh model returns almost only zeros.
    expected = model(scaled, training=True).numpy().mean(axis=(1, 2))
    for given in (images, images.astype(np.float32)):
        np.testing.assert_allclose(mobilenet(given, training=True), expected, atol=1e-4)


def test_fresh_weights_follow_from_the_seed_and_pythons_generator_stays(mobilenet):
    state = random.getstate()
    again, another = (build_application("MobileNet", SHAPE, seed=seed) for seed in (3, 4))
    assert random.getstate() == state
    for weight, same in zip(mobilenet.trainable_weights, again.trainable_weights):
        np.testing.assert_array_equal(weight, same)
    assert np.any(mobilenet.get_weights()[0] != another.get_weights()[0])


@pytest.fixture(scope="module")
def files_of_weights(narrow, mobilenet, tmp_path_factory):
    """A folder with the weights of a model in every kind of file, and the model."""
    folder = tmp_path_factory.mktemp("weights")
    whole = keras.applications.MobileNet(weights=None, classes=3, input_shape=SHAPE)
    bare = keras.applications.MobileNet(include_top=False, weights=None, input_shape=SHAPE)
    bare.set_weights(whole.get_weights()[: len(bare.weights)])
    whole.save(folder / "whole.keras")
    bare.save(folder / "bare.keras")
    bare.save_weights(folder / "weights.h5")
    bare.save_weights(folder / "v3.weights.h5")
    return folder, bare


@pytest.mark.parametrize(
    "name",
    [
        "whole.keras",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("bare.keras", "v3.weights.h5")),
        "weights.h5",
    ],
)
def test_weights_are_read_from_every_kind_of_file(files_of_weights, name):
    folder, bare = files_of_weights
    read = build_application("MobileNet", SHAPE, weights=str(folder / name))
    for weight, expected in zip(read.get_weights(), bare.get_weights()):
        np.testing.assert_array_equal(weight, expected)


@pytest.mark.parametrize("name", ["other.weights.h5", "other.h5", "other.keras", "broken.h5", "missing.h5"])
def test_weights_that_do_not_fit_are_named_in_one_line(name, tmp_path):
    (tmp_path / "broken.h5").write_text("no weights")
    model = user_model()
    if name.startswith("other"):
        model.save(tmp_path / name) if name.endswith(".keras") else model.save_weights(tmp_path / name)
    with pytest.raises(ArgumentError, match=f"weights=.*{re.escape(name)}': ") as error:
        build_application("MobileNet", SHAPE, weights=str(tmp_path / name))
    assert "\n" not in str(error.value)


def test_weights_that_cannot_be_fetched_are_named_in_one_line(monkeypatch):
    def make(*, weights, **options):
        if weights is not None:
            raise Exception("URL fetch failure on https://x: None\nmore")
        return user_model(outputs="map")

    make.__module__ = "keras.src.applications.mobilenet"
    monkeypatch.setattr(keras.applications, "MobileNet", make)
    with pytest.raises(ArgumentError, match="weights='imagenet': .* of MobileNet .URL fetch.*x: None.; download"):
        build_application("MobileNet", SHAPE, weights="imagenet")


def test_small_images_and_unknown_names_are_refused():
    with pytest.raises(
        ArgumentError, match="name='MobileNet': takes images of at least 32 pixels, not 28; increase image_shape"
    ):
        build_application("MobileNet", (28, 28, 1))
    with pytest.raises(
        ArgumentError, match="name='MobileNetV4': no such model in keras.applications; did you mean MobileNetV2?"
    ):
        build_application("MobileNetV4", SHAPE)


def efficientnet(*, include_top=False, weights, input_shape):
    """Returns a model with only the first and the last kind of layer of keras.applications.EfficientNetB0."""
    inputs = keras.Input(input_shape)
    x = keras.layers.Normalization(axis=3)(keras.layers.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, keras.layers.Dropout(0.2)(keras.layers.Conv2D(3, 1, use_bias=False)(x)))


efficientnet.__module__ = "keras.src.applications.efficientnet"


def test_efficientnet_gets_the_images_that_keras_gives_it_with_imagenet_weights(monkeypatch, tmp_path):
    monkeypatch.setattr(keras.applications, "EfficientNetB0", efficientnet)
    model = efficientnet(weights=None, input_shape=SHAPE)
    kernel = np.eye(3).reshape(1, 1, 3, 3)
    model.set_weights([np.array(IMAGENET_MEAN), np.array(IMAGENET_DEVIATION), np.int64(0), kernel])
    model.save_weights(tmp_path / "file.h5")  # Keras' files hold deviations in place of variances
    images = random_images(2, *SHAPE)
    expected = ((images / 255 - IMAGENET_MEAN) / IMAGENET_DEVIATION).mean(axis=(1, 2))
    encoder = build_application("EfficientNetB0", SHAPE, weights=str(tmp_path / "file.h5"))
    np.testing.assert_allclose(encoder(images, training=True), expected, atol=1e-5)
    model.set_weights([np.zeros(3), np.ones(3), np.int64(0), kernel])
    model.save_weights(tmp_path / "another.h5")
    with pytest.raises(ArgumentError, match="weights=.*another.h5': was trained with a scaling"):
        build_application("EfficientNetB0", SHAPE, weights=str(tmp_path / "another.h5"))


@pytest.mark.parametrize("suffix", [".keras", ".h5", ""])
def test_a_users_model_is_the_encoder_with_its_weights(suffix, tmp_path):
    images = random_images(3, 16, 16, 1)
    for outputs in ("vector", "map"):
        model = user_model(outputs=outputs)
        model.trainable = False
        path = f"{tmp_path}/{outputs}{suffix}"
        model.save(path)
        encoder = load_encoder(path, (16, 16, 1))
        expected = model(np.repeat(images, 3, axis=-1)).numpy()
        expected = expected.mean(axis=(1, 2)) if outputs == "map" else expected
        np.testing.assert_allclose(encoder(images), expected, atol=1e-6)
        assert len(encoder.trainable_weights) == (4 if outputs == "map" else 6)


def test_a_users_model_that_cannot_be_an_encoder_is_refused(tmp_path):
    for path, model, shape, complaint in [
        ("size.keras", user_model(shape=(64, 64, 3)), SHAPE, "takes images of 64x64, not 32x32; change image_shape"),
        ("oblong.keras", user_model(shape=(64, 48, 3)), SHAPE, "takes images of 64x48, not 32x32; only square images"),
        ("grey.keras", user_model(shape=(None, None, 1)), SHAPE, "takes images of 1 channels, not 3"),
        ("text.keras", keras.Sequential([keras.layers.Dense(3, input_shape=(7,))]), SHAPE, "must map images to one"),
    ]:
        model.save(tmp_path / path)
        with pytest.raises(ArgumentError, match=f"path=.*{path}': .*{complaint}"):
            load_encoder(str(tmp_path / path), shape)
    tf.saved_model.save(tf.Module(), str(tmp_path / "plain"))
    (tmp_path / "broken.keras").write_text("no model")
    for path, complaint in [("plain", "save the model as .keras"), ("broken.keras", "cannot be read as a Keras model"),
                            ("missing", "no such file or folder")]:  # fmt: skip
        with pytest.raises(ArgumentError, match=f"path=.*{path}': .*{complaint}") as error:
            load_encoder(str(tmp_path / path), SHAPE)
        assert "\n" not in str(error.value)


def trained_step(model, loss, **options):
    """Takes a step on two classes of two images; returns the model."""
    model.compile(keras.optimizers.SGD(0.1), loss, **options)
    before = model.encoder.get_weights()
    views, labels = random_images(4, 2, *model.encoder.input_shape[1:]), np.array([0, 0, 1, 1])
    model.fit(tf.data.Dataset.from_tensors((views, labels)), verbose=0)
    changed = [np.any(old != new) for old, new in zip(before, model.encoder.get_weights())]
    assert np.mean(changed) > 0.8
    assert model.embed(views[:, 0]).dtype == tf.float32
    return model


@pytest.mark.slow
def test_model_of_keras_trains_under_xla_and_mixed_precision_with_a_queue(bfloat16, monkeypatch, tmp_path):
    monkeypatch.setattr(keras.applications, "EfficientNetB0", efficientnet)
    encoder = build_application("EfficientNetB0", (8, 8, 1))
    model = trained_step(*contrastive(encoder, queue_size=8, microbatch_size=2), jit_compile=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    images = random_images(2, 8, 8, 1)
    np.testing.assert_array_equal(loaded.embed(images), model.embed(images))


@pytest.mark.slow
def test_a_users_model_trains_on_several_replicas(tmp_path):
    user_model().save(tmp_path / "mine.keras")
    strategy = tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"])
    with strategy.scope():
        trained_step(*contrastive(load_encoder(str(tmp_path / "mine.keras"), (8, 8, 1)), weight_decay=1e-4))


def test_queue_begins_with_the_scaling_that_a_users_model_has_measured(tmp_path):
    scaling = keras.layers.Normalization(input_shape=(8, 8, 1))
    scaling.adapt(random_images(4, 8, 8, 1))
    keras.Sequential([scaling, keras.layers.Conv2D(2, 3)]).save(tmp_path / "mine.keras")
    model, _ = contrastive(load_encoder(str(tmp_path / "mine.keras"), (8, 8, 1)), queue_size=8)
    images = random_images(2, 8, 8, 1)
    np.testing.assert_array_equal(model.queue.encoder(images), model.encoder(images))


@pytest.mark.slow
def test_a_users_model_with_dropout_trains_in_microbatches(tmp_path):
    user_model(dropout=0.5).save(tmp_path / "mine.keras")
    model, loss = contrastive(load_encoder(str(tmp_path / "mine.keras"), SHAPE), microbatch_size=2)
    model.compile("sgd", loss)
    logs = model.train_on_batch(random_images(4, 2, *SHAPE), np.array([0, 0, 1, 1]), return_dict=True)
    assert np.isfinite(logs["loss"])


def test_frozen_encoder_keeps_its_batch_statistics(mobilenet, tmp_path):
    user_model().save(tmp_path / "mine.keras")
    for encoder in (mobilenet, load_encoder(str(tmp_path / "mine.keras"), SHAPE)):
        model = Classifier(encoder, 2, freeze_encoder=True)
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        before = model.encoder.get_weights()
        model.fit(random_images(4, *SHAPE), np.array([0, 0, 1, 1]), verbose=0)
        for old, new in zip(before, model.encoder.get_weights()):
            np.testing.assert_array_equal(old, new)
        assert len(model.trainable_weights) == 2

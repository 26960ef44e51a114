"""Images that an encoder would scale twice are warned of, in whatever form Keras takes them."""

import warnings

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf.losses import TripletLoss
from supcon_tf.models import Classifier, ContrastiveModel, CrossEntropy, ProjectionHead
from supcon_tf.models.applications import FamilyScaling
from tests.models.tiny import tiny_encoder

SHAPE, BATCH, IMAGES = (8, 8, 3), 6, 12
FRACTIONS, STANDARDISED = "have no number above 1", "have numbers below 0 and none above 10"


class Batches(keras.utils.Sequence):
    def __init__(self, views, labels):
        self.views, self.labels = views, labels

    def __len__(self):
        return IMAGES // BATCH

    def __getitem__(self, number):
        part = slice(number * BATCH, (number + 1) * BATCH)
        return self.views[part], self.labels[part]


def batches(views, labels):
    sequence = Batches(views, labels)
    yield from (sequence[number] for number in range(len(sequence)))


def dataset(views, labels):
    return tf.data.Dataset.from_tensor_slices((views, labels)).batch(BATCH)


def once(views, labels):
    """A data set whose source can be read once."""
    source = batches(views, labels)
    spec = tuple(tf.TensorSpec([None, *part.shape[1:]], part.dtype) for part in (views, labels))
    return tf.data.Dataset.from_generator(lambda: source, output_signature=spec)


def make(kind, **options):
    encoder = tiny_encoder(SHAPE)
    if kind == "classifier":
        model, loss = Classifier(encoder, 3, freeze_encoder=False), CrossEntropy()
    else:
        model, loss = ContrastiveModel(encoder, ProjectionHead((8, 4))), TripletLoss()  # the quickest
    model.compile(keras.optimizers.SGD(0.0), loss, **options)
    return model


def data_for(kind, low=0.0, high=255.0):
    rng = np.random.default_rng(0)
    views = rng.uniform(low, high, (IMAGES, 2, *SHAPE)).astype(np.float32)
    return views if kind == "contrastive" else views[:, 0], rng.integers(0, 3, IMAGES)


def warned(model, *data, **options):
    """Trains and returns the warnings of the range."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(*data, verbose=0, **options)
    return [str(one.message) for one in caught if "expects 0 to 255" in str(one.message)]


CASES = [("contrastive", 0, 1, FRACTIONS), ("classifier", -1, 1, STANDARDISED), ("classifier", -2.1, 2.6, STANDARDISED)]


@pytest.mark.parametrize("kind, low, high, text", CASES)
def test_scaled_images_are_warned_of_once_and_other_images_never(kind, low, high, text):
    model = make(kind)
    assert warned(model, *data_for(kind)) == []
    (found,) = warned(model, *data_for(kind, low, high), epochs=2, batch_size=BATCH)
    assert text in found
    assert warned(model, *data_for(kind, low, high)) == []


@pytest.mark.parametrize("form", [dataset, once, batches, Batches])
def test_every_form_of_data_is_looked_at_and_read_once(form):
    model = make("classifier")
    assert len(warned(model, form(*data_for("classifier", 0, 1)))) == 1
    assert list(model.history.history) == ["loss"]
    assert model._train_counter.numpy() == IMAGES // BATCH


@pytest.mark.parametrize("options", [{"jit_compile": True}, {"steps_per_execution": 2}, {"run_eagerly": True}])
def test_compiled_and_eager_steps_are_looked_at(options):
    assert len(warned(make("classifier", **options), dataset(*data_for("classifier", 0, 1)))) == 1


def test_replicas_are_looked_at():
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        model = make("classifier")
    assert warned(model, dataset(*data_for("classifier"))) == []
    assert len(warned(model, dataset(*data_for("classifier", 0, 1)))) == 1


def test_integers_and_encoders_that_do_not_scale_are_not_warned_of():
    views, labels = data_for("classifier", 0, 1)
    assert warned(make("classifier"), views.astype(np.uint8), labels) == []
    images = keras.Input(SHAPE)
    plain = keras.Model(images, keras.layers.GlobalAveragePooling2D()(images))
    model = Classifier(plain, 3, freeze_encoder=True)
    model.compile("sgd", CrossEntropy())
    assert warned(model, views, labels) == []


def test_black_images_do_not_decide():
    views, labels = data_for("classifier", 0, 1)
    views[:BATCH] = 0
    assert len(warned(make("classifier"), views, labels, batch_size=BATCH, shuffle=False)) == 1


@pytest.mark.parametrize(
    "scaling, is_warned_of",
    [
        (FamilyScaling("mobilenet_v2"), True),
        (keras.layers.Normalization(mean=[127.0] * 3, variance=[3600.0] * 3), True),
        (keras.layers.Normalization(mean=[0.5] * 3, variance=[0.1] * 3), False),
    ],
)
def test_other_layers_that_scale_are_known(scaling, is_warned_of):
    images = keras.Input(SHAPE)
    encoder = keras.Model(images, keras.layers.GlobalAveragePooling2D()(scaling(images)))
    model = Classifier(encoder, 3, freeze_encoder=True)
    model.compile("sgd", CrossEntropy())
    assert len(warned(model, *data_for("classifier", 0, 1))) == is_warned_of


@pytest.mark.parametrize("kind", ["classifier", pytest.param("contrastive", marks=pytest.mark.slow)])
def test_a_step_that_the_user_calls_returns_metrics_only(kind):
    model, data = make(kind), data_for(kind)
    model.fit(*data, verbose=0)
    assert set(model.train_step(tuple(map(tf.constant, data)))) == {metric.name for metric in model.metrics}

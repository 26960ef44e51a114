"""Keras' other ways to save, export and measure work with both models, or are refused in one sentence."""

import warnings

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf.errors import ArgumentError
from supcon_tf.losses import SupConLoss, TripletLoss
from supcon_tf.models import Accuracy, Classifier, ContrastiveModel, CrossEntropy, ProjectionHead, SigmoidCrossEntropy
from tests.models.tiny import tiny_encoder

SHAPE, LABELS = (8, 8, 3), np.arange(6) % 3
VIEWS = np.random.default_rng(0).integers(0, 256, (6, 2, *SHAPE)).astype(np.uint8)
KINDS = ["classifier", "contrastive"]


def make(kind, metrics=None):
    """Returns a compiled model and what it takes."""
    if kind == "classifier":
        model = Classifier(tiny_encoder(SHAPE), 3, freeze_encoder=False)
        model.compile("adam", CrossEntropy(), metrics=metrics)
        return model, VIEWS[:, 0]
    model = ContrastiveModel(tiny_encoder(SHAPE), ProjectionHead((8, 4)), num_classes=3)
    model.compile("adam", SupConLoss(), metrics=metrics)
    return model, VIEWS


def make_with_state():
    """Returns a model whose loss reads a queue and a learned temperature, and what it takes."""
    options = {"num_classes": 3, "queue_size": 12, "learned_temperature": 0.2}
    model = ContrastiveModel(tiny_encoder(SHAPE), ProjectionHead((8, 4)), **options)
    model.compile("adam", SupConLoss(model.temperature, memory=model.memory))
    return model, VIEWS


@pytest.mark.parametrize(
    "make_one",
    [
        lambda: make("classifier"),
        pytest.param(lambda: make("contrastive"), marks=pytest.mark.slow),
        pytest.param(make_with_state, marks=pytest.mark.slow),
    ],
)
def test_a_folder_of_keras_keeps_model_and_loss_but_begins_with_a_new_optimizer(make_one, tmp_path):
    model, x = make_one()
    model.fit(x, LABELS, epochs=2, shuffle=False, verbose=0)
    keras.models.save_model(model, tmp_path / "folder")
    loaded = keras.models.load_model(tmp_path / "folder")
    assert type(loaded) is type(model)
    np.testing.assert_allclose(loaded(x), model(x), atol=1e-6)
    model.compile("adam", model.loss)
    losses = [one.fit(x, LABELS, epochs=3, shuffle=False, verbose=0).history["loss"] for one in (loaded, model)]
    np.testing.assert_allclose(*losses, rtol=1e-5)


@pytest.mark.parametrize("kind", ["classifier", pytest.param("contrastive", marks=pytest.mark.slow)])
def test_a_keras_file_keeps_loss_metrics_and_the_state_of_the_optimizer(kind, tmp_path):
    model, x = make(kind)
    if kind == "classifier":
        model.compile("adam", CrossEntropy(0.1), weighted_metrics=[Accuracy("own")], loss_weights=2.0)
    model.fit(x, LABELS, batch_size=3, epochs=2, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.iterations == 4
    histories = [
        one.fit(x, LABELS, batch_size=3, epochs=2, shuffle=False, verbose=0).history for one in (model, loaded)
    ]
    assert histories[0] == histories[1]
    states = [[*one.get_weights(), *(slot.numpy() for slot in one.optimizer.variables)] for one in (model, loaded)]
    for here, there in zip(*states, strict=True):
        np.testing.assert_array_equal(here, there)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_was_never_called_is_exported(kind, tmp_path):
    model, x = make(kind)
    model.export(tmp_path / "served")
    served = tf.saved_model.load(str(tmp_path / "served"))
    np.testing.assert_allclose(served.serve(tf.cast(x, tf.float32)), model(x), atol=1e-5)


@pytest.mark.parametrize("name", ["w.h5", "w.weights.h5", "w.keras", "checkpoint"])
@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_loaded_into_a_new_model_and_no_false_warning_is_given(kind, name, tmp_path):
    (model, x), (other, _) = make(kind), make(kind)
    model.set_weights([weight + 0.25 for weight in model.get_weights()])
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*not yet been built")
        (model.save if name.endswith(".keras") else model.save_weights)(tmp_path / name)
    other.load_weights(tmp_path / name)
    np.testing.assert_array_equal(other(x), model(x))


@pytest.mark.parametrize(
    "kind, metric",
    [
        *[("contrastive", metric) for metric in ("mae", "AUC", keras.metrics.MeanAbsoluteError(), keras.metrics.mse)],
        *[("classifier", metric) for metric in ("mae", "mse", keras.metrics.MeanAbsoluteError(), keras.metrics.mse)],
    ],
)
def test_metrics_that_mean_nothing_are_refused_in_one_sentence(kind, metric):
    problem = "needs scores of classes" if kind == "contrastive" else "compares numbers, but the model returns logits"
    with pytest.raises(ArgumentError, match=f"^metrics='.+': {problem}"):
        make(kind, [metric])


PROBABILITIES = [
    *("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy", "categorical_crossentropy", "kld"),
    *(keras.losses.SparseCategoricalCrossentropy(), keras.losses.CategoricalCrossentropy(label_smoothing=0.1)),
    *(keras.losses.sparse_categorical_crossentropy, "binary_crossentropy", "bce", keras.losses.KLDivergence()),
    *("mse", keras.losses.MeanSquaredError(), "hinge", keras.losses.CategoricalHinge(), "Huber", "poisson"),
]


@pytest.mark.parametrize("loss", PROBABILITIES)
def test_a_loss_that_takes_no_logits_is_refused_in_one_sentence(loss):
    model = Classifier(tiny_encoder(SHAPE), 3, freeze_encoder=False)
    with pytest.raises(ArgumentError, match=r"^loss='.+': takes no logits.*CrossEntropy\(\).*from_logits=True$"):
        model.compile("sgd", loss)


def test_losses_of_logits_and_of_the_user_are_taken():
    model = Classifier(tiny_encoder(SHAPE), 3, freeze_encoder=False)
    own = [CrossEntropy(), CrossEntropy, SigmoidCrossEntropy(), lambda labels, logits: tf.reduce_mean(logits, axis=1)]
    names = ("SparseCategoricalCrossentropy", "CategoricalCrossentropy", "BinaryCrossentropy")
    for loss in (None, *own, *(getattr(keras.losses, name)(from_logits=True) for name in names)):
        model.compile("sgd", loss)


@pytest.mark.parametrize(
    "metric",
    [
        *("sparse_categorical_crossentropy", "crossentropy", "kld", keras.metrics.sparse_categorical_crossentropy),
        keras.metrics.SparseCategoricalCrossentropy("own"),
    ],
)
@pytest.mark.parametrize("argument", ["metrics", "weighted_metrics"])
def test_metrics_of_probabilities_are_refused_in_one_sentence(argument, metric):
    model = Classifier(tiny_encoder(SHAPE), 3, freeze_encoder=False)
    with pytest.raises(ArgumentError, match="^metrics='.+': expects probabilities.*from_logits=True"):
        model.compile("sgd", CrossEntropy(), **{argument: [metric]})
    model.compile(
        "sgd", CrossEntropy(), **{argument: keras.metrics.SparseCategoricalCrossentropy("own", from_logits=True)}
    )


@pytest.mark.parametrize("replicas", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_accuracy_leaves_unlabelled_images_out(replicas):
    names = [f"CPU:{number}" for number in range(replicas)]
    with tf.distribute.MirroredStrategy(names).scope():
        model, x = make("classifier", ["accuracy", Accuracy("top1")])
    right = np.argmax(model.predict(x, verbose=0), axis=1)
    labels = np.where(np.arange(6) < 2, (right + 1) % 3, right)
    labels[4:] = -1
    logs = model.evaluate(x, labels, verbose=0, return_dict=True)
    np.testing.assert_allclose([logs["accuracy"], logs["top1"]], 0.5)
    logs = model.evaluate(x, np.full(6, -1), verbose=0, return_dict=True)
    assert np.isnan(logs["accuracy"])
    assert np.isnan(model.fit(x, np.full(6, -1), verbose=0).history["accuracy"][0])


def test_the_online_accuracy_of_no_labelled_image_is_nan():
    model, x = make("contrastive")
    model.compile("adam", TripletLoss())  # the quickest
    for images in (x, x[:, 0]):
        assert np.isnan(model.evaluate(images, np.full(6, -1), verbose=0, return_dict=True)["online_accuracy"])
    assert np.isnan(model.fit(x, np.full(6, -1), verbose=0).history["online_accuracy"][0])
    assert not np.isnan(model.fit(x, LABELS, verbose=0).history["online_accuracy"][0])


def test_accuracy_is_refused_by_name_where_an_image_may_have_several_classes():
    several, one = (Classifier(tiny_encoder(SHAPE), classes, freeze_encoder=False) for classes in (3, 1))
    for model in (several, one):
        with pytest.raises(ArgumentError, match=r"^metrics='accuracy': needs one class.*HitAtOne\(\)"):
            model.compile("sgd", SigmoidCrossEntropy(), metrics=["accuracy"])


def test_metrics_of_classes_are_taken():
    def largest(labels, logits):
        return tf.reduce_max(logits)

    given = [Accuracy("own"), "accuracy", largest, keras.metrics.SparseTopKCategoricalAccuracy(2, "top2")]
    model, x = make("classifier", given)
    assert {"own", "accuracy", "largest", "top2"} < set(model.fit(x, LABELS, verbose=0).history)
    logs = model.evaluate(x, LABELS, verbose=0, return_dict=True)
    np.testing.assert_allclose(logs["largest"], np.max(model(x)), rtol=1e-5)

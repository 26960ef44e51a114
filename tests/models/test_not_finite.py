"""An image with NaN or Inf has no accuracy."""

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.losses import SupConLoss
from supcon_tf.models import Accuracy, Classifier, ContrastiveModel, CrossEntropy, HitAtOne, ProjectionHead
from tests.models.tiny import tiny_encoder

SHAPE, IMAGES = (8, 8, 3), 6


def spoilt(value, views=2):
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (IMAGES, views, *SHAPE)).astype(np.float32)
    images[3, 0, 2, 2, 1] = value
    return (images if views > 1 else images[:, 0]), np.arange(IMAGES) % 3


def make(kind, queue_size=0, microbatch_size=None, **options):
    if kind == "classifier":
        model = Classifier(tiny_encoder(SHAPE), 3, freeze_encoder=False)
        model.compile("sgd", CrossEntropy(), metrics=[Accuracy("own"), "sparse_categorical_accuracy"], **options)
    else:
        parts = {"queue_size": queue_size, "microbatch_size": microbatch_size}
        model = ContrastiveModel(tiny_encoder(SHAPE), ProjectionHead((8, 4)), num_classes=3, **parts)
        loss = SupConLoss(memory=model.memory) if queue_size else SupConLoss()
        model.compile("sgd", loss, **options)
    return model


@pytest.mark.parametrize(
    "kind, views, value",
    [
        ("classifier", 1, np.nan),
        pytest.param("contrastive", 2, np.inf, marks=pytest.mark.slow),
        pytest.param("classifier", 1, np.inf, marks=pytest.mark.slow),
        pytest.param("contrastive", 1, np.nan, marks=pytest.mark.slow),
        pytest.param("classifier", 1, 3e38, marks=pytest.mark.slow),
    ],
)
def test_evaluation_refuses_it(kind, views, value):
    with pytest.raises(tf.errors.InvalidArgumentError, match="an image has NaN, Inf or a number above"):
        make(kind).evaluate(*spoilt(value, views), verbose=0)


@pytest.mark.parametrize("kind", ["classifier", pytest.param("contrastive", marks=pytest.mark.slow)])
def test_under_xla_and_in_training_the_accuracy_is_nan(kind):
    model, data = make(kind, jit_compile=True), spoilt(np.nan, 1 + (kind == "contrastive"))
    name = "own" if kind == "classifier" else "online_accuracy"
    assert np.isnan(model.evaluate(*data, verbose=0, return_dict=True)[name])
    assert np.isnan(model.fit(*data, verbose=0).history[name][0])


@pytest.mark.parametrize(
    "kind, options",
    [
        ("contrastive", {"microbatch_size": 2}),
        pytest.param("classifier", {}, marks=pytest.mark.slow),
        pytest.param("contrastive", {}, marks=pytest.mark.slow),
        pytest.param("contrastive", {"queue_size": 12}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_a_number_whose_square_is_not_finite_shows_in_the_loss(kind, options):
    model = make(kind, **options)
    loss = model.fit(*spoilt(3e38, 1 + (kind == "contrastive")), verbose=0).history["loss"][0]
    assert np.isnan(loss)


def test_metrics_of_scores_that_are_nan_are_nan():
    logits = tf.constant([[np.nan, 0.0], [0.0, 1.0]])
    assert np.isnan(Accuracy()(tf.constant([0, 1]), logits))
    assert np.isnan(HitAtOne()(tf.constant([[1, 0], [0, 1]]), logits))


@pytest.mark.parametrize("row", [[-1.0, -1.0, -1.0], [0.0, -1.0, 0.0], [1.0, 1.0, 0.0]])
def test_labels_that_are_no_distribution_are_refused(row):
    images, _ = spoilt(0.0, 1)
    labels = np.eye(3, dtype=np.float32)[np.arange(IMAGES) % 3]
    labels[2] = row
    model = Classifier(tiny_encoder(SHAPE), 3, freeze_encoder=True)
    model.compile("sgd", CrossEntropy())
    for call in (model.fit, model.evaluate):
        with pytest.raises(tf.errors.InvalidArgumentError, match="must be distributions over the classes"):
            call(images, labels, verbose=0)

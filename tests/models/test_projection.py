"""Embeddings of an empty share: Keras shares the last batch of an epoch, and a replica may get no image."""

import contextlib
import re

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf.errors import ArgumentError
from supcon_tf.losses import SupConLoss
from supcon_tf.models import Classifier, ContrastiveModel, ProjectionHead
from tests.models.tiny import tiny_encoder

SHAPE = (8, 8, 3)
RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.integers(0, 256, (9, *SHAPE)).astype(np.uint8), np.arange(9) % 3


def classifier():
    model = Classifier(tiny_encoder(SHAPE), 3, freeze_encoder=False, seed=0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=["accuracy"])
    return model, IMAGES


def contrastive():
    model = ContrastiveModel(tiny_encoder(SHAPE), ProjectionHead((8, 4)), num_classes=3)
    model.compile("sgd", SupConLoss())
    return model, np.stack([IMAGES, IMAGES[:, ::-1]], axis=1)


@pytest.mark.parametrize("make", [classifier, pytest.param(contrastive, marks=pytest.mark.slow)])
def test_replicas_without_images_evaluate_and_predict_as_one_device(make):
    found, weights = [], None
    for scope in (contextlib.nullcontext(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope()):
        with scope:
            model, images = make()
        weights = weights or model.get_weights()
        model.set_weights(weights)
        batches = tf.data.Dataset.from_tensor_slices((images, LABELS)).batch(
            4
        )  # 4, 4 and 1: the other replica has none
        found.append((model.evaluate(batches, verbose=0), model.predict(batches.map(lambda x, y: x), verbose=0)))
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-5)
    np.testing.assert_allclose(found[1][1], found[0][1], rtol=1e-5, atol=1e-6)
    assert found[1][1].shape[0] == 9


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
@pytest.mark.parametrize("make", [classifier, contrastive])
def test_images_of_another_size_are_refused_in_one_line(make, method):
    model, x = make()
    wrong = np.pad(x, [(0, 0)] * (x.ndim - 3) + [(0, 1), (0, 0), (0, 0)])
    expected = "x: must be of the size that the encoder takes, [8, 8, 3], not [9, 8, 3] [height, width, channels]"
    with pytest.raises(ArgumentError, match=f"^{re.escape(expected)}$"):
        getattr(model, method)(wrong, *([] if method == "predict" else [LABELS]), verbose=0)

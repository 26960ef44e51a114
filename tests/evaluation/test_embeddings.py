"""Embeddings of the training images, each once, with the labels that training sees."""

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.config import DataOptions
from supcon_tf.data import load
from supcon_tf.evaluation.embeddings import embed_images
from supcon_tf.models import Classifier
from supcon_tf.run import batches
from tests.models.tiny import tiny_encoder


@pytest.fixture
def embedded(digits_dir):
    def embedded(replicas, **options):
        strategy = tf.distribute.MirroredStrategy([f"CPU:{number}" for number in range(replicas)])
        given = DataOptions(data_dir=digits_dir, **options)
        images = batches.training_images(given, load.load(given, labels=True), seed=0)
        with strategy.scope():
            model = Classifier(tiny_encoder((8, 8, 1)), 10, freeze_encoder=True)
        return images, embed_images(model, *batches.training_images_once(images, lambda image: image, strategy))

    return embedded


@pytest.mark.parametrize("replicas", [1, 3])
def test_each_training_image_is_embedded_once_on_any_number_of_replicas(embedded, replicas):
    images, (vectors, labels) = embedded(replicas)
    assert len(vectors) == images.size == 1197  # no multiple of a batch
    np.testing.assert_array_equal(np.bincount(labels), images.classes[1])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    _, (expected, expected_labels) = embedded(1)
    np.testing.assert_array_equal(labels, expected_labels)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_a_choice_of_images_and_noisy_labels_are_those_of_training(embedded):
    images, (vectors, labels) = embedded(1, max_examples=300, label_noise=0.5)
    assert len(vectors) == 300
    np.testing.assert_array_equal(np.bincount(labels, minlength=10), images.classes[1])

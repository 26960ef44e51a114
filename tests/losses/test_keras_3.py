"""The losses in a model of Keras 3, which TensorFlow 2.16 and later take where nobody asks for Keras 2."""

import os
import pathlib
import subprocess
import sys

import pytest
import tensorflow as tf

ROOT = pathlib.Path(__file__).parents[2]
NEW = tuple(map(int, tf.__version__.split(".")[:2])) >= (2, 16)

CODE = """
import numpy as np
import tensorflow as tf
from supcon_tf.losses import SupConLoss, reference
import keras

assert keras.__version__.startswith("3.")
rng = np.random.default_rng(0)
images, labels = rng.normal(size=(32, 16)).astype(np.float32), np.arange(32) % 4
model = keras.Sequential([keras.layers.Input((16,)), keras.layers.Dense(8)])
model.compile(keras.optimizers.SGD(0.1), SupConLoss(0.1))
losses = model.fit(images, labels, epochs=3, batch_size=32, verbose=0).history["loss"]
assert losses[-1] < losses[0]
projections = tf.convert_to_tensor(model(images))[:, tf.newaxis]
expected = tf.reduce_mean(reference.supervised_contrastive_loss(tf.constant(labels), projections))
np.testing.assert_allclose(model.evaluate(images, labels, batch_size=32, verbose=0), expected, rtol=1e-5)
try:
    import supcon_tf.models
except ImportError as error:
    assert "needs Keras 2" in str(error)
else:
    raise AssertionError("models must not import")
"""


@pytest.mark.skipif(not NEW, reason="TensorFlow 2.15 has Keras 2")
def test_the_loss_trains_a_model_of_keras_3_and_the_rest_says_what_it_needs():
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "0", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

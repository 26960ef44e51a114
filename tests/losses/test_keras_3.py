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

MIRRORED = """
import numpy as np
import tensorflow as tf
from supcon_tf.losses import SupConLoss
import keras

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
rng = np.random.default_rng(0)
images, labels = rng.normal(size=(32, 16)).astype(np.float32), np.arange(32) // 8

def trained(strategy, start=None):
    with strategy.scope():
        model = keras.Sequential([keras.layers.Input((16,)), keras.layers.Dense(8)])
        model.compile(keras.optimizers.SGD(0.1), SupConLoss(0.1))
    if start is not None:
        model.set_weights(start)
    start = model.get_weights()
    model.fit(images, labels, epochs=3, batch_size=32, shuffle=False, verbose=0)
    return start, model.get_weights()

start, one = trained(tf.distribute.OneDeviceStrategy("/cpu:0"))
_, two = trained(tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"]), start)
for weight, expected in zip(two, one):
    np.testing.assert_allclose(weight, expected, atol=1e-6)
"""


@pytest.mark.skipif(not NEW, reason="TensorFlow 2.15 has Keras 2")
@pytest.mark.parametrize("code", [CODE, MIRRORED], ids=["one device, and the rest says what it needs", "two replicas"])
def test_the_loss_trains_a_model_of_keras_3(code):
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "0", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

"""Checks that several replicas with a part of the batch each train as one with the whole batch: every optimizer."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf import config
from supcon_tf.optimizers import make_optimizer

STEPS, BATCH = 5, 12
STRATEGIES = {
    "one device": lambda: tf.distribute.OneDeviceStrategy("CPU:0"),
    "two replicas": lambda: tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]),
    "four replicas": lambda: tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(4)]),
}


class Model(keras.Model):
    """Layers whose weights share names, with and without decay. No statistics of the batch, so that R equals one."""

    def __init__(self):
        super().__init__(dtype="float64")
        make = keras.initializers.RandomNormal
        self.first, self.second, self.last = (
            keras.layers.Dense(units, kernel_initializer=make(seed=i), activation=activation, dtype="float64", name="d")
            for i, (units, activation) in enumerate([(6, "tanh"), (6, "tanh"), (1, None)])
        )
        self.norm, self.last_norm = (keras.layers.LayerNormalization(dtype="float64", name="n") for _ in range(2))

    def call(self, x):
        return self.last(self.last_norm(self.second(self.norm(self.first(x)))))


def trained(strategy, name, clip_norm=None):
    """Returns for each weight its values on all replicas after training."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(STEPS * BATCH, 4))
    y = np.sin(x.sum(axis=1, keepdims=True))
    with strategy.scope():
        model = Model()
        model(x[:1])
        spared = model.norm.trainable_weights  # their twins in `last_norm` have the same names
        rate = keras.optimizers.schedules.PolynomialDecay(0.05, STEPS, 0.01)
        optimizer = make_optimizer(
            name, rate, weight_decay=0.5, undecayed=spared, unadapted=spared, clip_norm=clip_norm
        )
        model.compile(optimizer, "mse")
    model.fit(tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH), verbose=0)
    return [
        [copy.numpy() for copy in strategy.experimental_local_results(weight)] for weight in model.trainable_weights
    ]


@pytest.fixture(scope="module")
def one_device():
    """Returns a function from optimizer to the weights that one device trains."""
    found = {}

    def get(name):
        if name not in found:
            found[name] = trained(STRATEGIES["one device"](), name)
        return found[name]

    return get


@pytest.mark.parametrize("replicas", ["two replicas", pytest.param("four replicas", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "lars" else pytest.mark.slow) for name in config.OPTIMIZERS]
)
def test_replicas_stay_equal_to_the_bit_and_train_as_one_device(name, replicas, one_device):
    for copies, (expected,) in zip(trained(STRATEGIES[replicas](), name), one_device(name)):
        for copy in copies[1:]:
            np.testing.assert_array_equal(copy, copies[0])
        np.testing.assert_allclose(copies[0], expected, rtol=1e-5, atol=1e-9)

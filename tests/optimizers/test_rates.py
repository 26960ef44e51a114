"""A factor of a weight's learning rate, with every optimizer and on replicas."""

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf import config
from supcon_tf.optimizers import OPTIMIZERS, make_optimizer, scale_rates

STEPS, RATE, FACTOR = 4, 0.01, 0.25
GRADIENTS = np.random.default_rng(0).normal(size=(STEPS, 2, 3)).astype(np.float32)


def trained(name, rate, factor=None, replicas=1):
    """Returns two weights after a few steps, on each replica; `factor` is that of the first."""
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])
    with strategy.scope():
        weights = [tf.Variable([1.0, -2.0, 3.0], name="w") for _ in range(2)]  # share a name
        optimizer = make_optimizer(name, rate)
        optimizer.build(weights)
    if factor is not None:
        scale_rates(optimizer, [(weights[0], factor)])

    @tf.function
    def step(gradients):
        def each():
            optimizer.apply_gradients([(gradients[i] / replicas, weight) for i, weight in enumerate(weights)])

        strategy.run(each)

    for gradients in GRADIENTS:
        step(tf.constant(gradients))
    return [[copy.numpy() for copy in strategy.experimental_local_results(weight)] for weight in weights]


@pytest.mark.parametrize("name", config.OPTIMIZERS)
def test_a_factor_is_that_of_the_learning_rate(name):
    assert set(config.OPTIMIZERS) == set(OPTIMIZERS)
    (slow,), (whole,) = trained(name, RATE, FACTOR)
    if name not in ("lars", "lamb"):  # the length of their steps depends on the weight, which moves less
        np.testing.assert_allclose(slow, trained(name, RATE * FACTOR)[0][0], rtol=1e-5)
    assert np.abs(slow - [1, -2, 3]).max() > 0
    np.testing.assert_array_equal(whole, trained(name, RATE)[1][0])


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "nesterov" else pytest.mark.slow) for name in config.OPTIMIZERS]
)
def test_replicas_stay_equal_and_train_as_one_device(name):
    expected = trained(name, RATE, FACTOR)
    for copies, (one,) in zip(trained(name, RATE, FACTOR, replicas=2), expected):
        np.testing.assert_array_equal(*copies)
        np.testing.assert_allclose(copies[0], one, rtol=2e-6)

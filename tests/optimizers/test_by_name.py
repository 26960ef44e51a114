import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf import config
from supcon_tf.optimizers import DECAY_IN_OPTIMIZER, make_optimizer


def constant(rate):
    return keras.optimizers.schedules.PolynomialDecay(rate, 1, rate)


def updated(name, variable, gradients, **options):
    optimizer = make_optimizer(name, constant(0.1), **options)
    for gradient in gradients:
        optimizer.apply_gradients([(tf.constant(gradient), variable)])
    return variable.numpy()


def test_momentum_and_nesterov_follow_their_equations():
    weights, velocity = {"sgd": 1.0, "nesterov": 1.0}, 0.0
    for gradient in (1.0, 2.0):
        velocity = 0.8 * velocity - 0.1 * gradient
        weights["sgd"] += velocity
        weights["nesterov"] += 0.8 * velocity - 0.1 * gradient
    for name, expected in weights.items():
        got = updated(name, tf.Variable(1.0), [1.0, 2.0], momentum=0.8)
        np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_adamw_decays_kernels_and_not_biases_or_norms():
    for name, decays in (("kernel", True), ("bias", False), ("norm/gamma", False), ("norm/beta", False)):
        with_decay = updated("adamw", tf.Variable(1.0, name=name), [0.5], weight_decay=0.1)
        without = updated("adamw", tf.Variable(1.0, name=name), [0.5], weight_decay=0.0)
        assert (with_decay < without) == decays, name


def test_lamb_decays_kernels_and_not_biases_or_norms():
    for name, decays in (("kernel", True), ("bias", False), ("norm/gamma", False)):
        start = [3.0, -1.0]
        with_decay = updated("lamb", tf.Variable(start, name=name), [[0.5, 0.1]], weight_decay=0.5)
        without = updated("lamb", tf.Variable(start, name=name), [[0.5, 0.1]], weight_decay=0.0)
        assert np.any(with_decay != without) == decays, name


@pytest.mark.parametrize("name", config.OPTIMIZERS)
def test_every_name_goes_downhill(name):
    variable = tf.Variable([2.0, -3.0])
    optimizer = make_optimizer(name, constant(0.01), weight_decay=0.01)
    for _ in range(20):
        optimizer.apply_gradients([(2 * variable, variable)])
    assert np.all(np.abs(variable.numpy()) < [2.0, 3.0])


def test_optimizers_that_decay_by_themselves_are_known():
    decays = []
    for name in config.OPTIMIZERS:
        got = [
            updated(name, tf.Variable([3.0, -1.0], name="kernel"), [[0.5, 0.1]], weight_decay=decay)
            for decay in (0, 0.5)
        ]
        decays += [name] if np.any(got[0] != got[1]) else []
    assert tuple(decays) == DECAY_IN_OPTIMIZER


def test_lamb_comes_without_the_end_of_life_notice_of_its_library():
    code = (
        "import warnings; warnings.simplefilter('error', UserWarning)\n"
        "from supcon_tf.optimizers import make_optimizer; make_optimizer('lamb', 0.1)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

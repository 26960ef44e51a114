import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf import config
from supcon_tf.errors import ArgumentError
from supcon_tf.optimizers import OPTIMIZERS, make_optimizer


def constant(rate):
    return keras.optimizers.schedules.PolynomialDecay(rate, 1, rate)


def updated(name, variable, gradients, **options):
    optimizer = make_optimizer(name, constant(0.1), **options)
    for gradient in gradients:
        optimizer.apply_gradients([(tf.constant(gradient), variable)])
    return variable.numpy()


def test_momentum_and_nesterov_keep_the_rate_outside_the_velocity():
    rates, gradients = [1.0, 0.5, 0.1], [1.0, 2.0, -1.0]
    for name in ("sgd", "nesterov"):
        weight, velocity = 1.0, 0.0
        for rate, gradient in zip(rates, gradients):
            velocity = 0.8 * velocity + gradient
            weight -= rate * (gradient + 0.8 * velocity if name == "nesterov" else velocity)
        variable = tf.Variable(1.0)
        optimizer = make_optimizer(name, keras.optimizers.schedules.PiecewiseConstantDecay([0, 1], rates), momentum=0.8)
        for gradient in gradients:
            optimizer.apply_gradients([(tf.constant(gradient), variable)])
        np.testing.assert_allclose(variable, weight, rtol=1e-6)


def test_at_a_constant_rate_momentum_equals_that_of_keras():
    gradients = [[0.3, -1.0], [2.0, 0.1], [-0.4, 0.5]]
    for name in ("sgd", "nesterov"):
        variable = tf.Variable([1.0, 2.0])
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9, nesterov=name == "nesterov")
        for gradient in gradients:
            optimizer.apply_gradients([(tf.constant(gradient), variable)])
        np.testing.assert_allclose(updated(name, tf.Variable([1.0, 2.0]), gradients), variable, rtol=1e-6)


def test_rmsprop_equals_that_of_tensorflow_1():
    gradients = [[0.3, -1.0], [2.0, 0.1], [-0.4, 0.5]]
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        weight = tf.compat.v1.get_variable("weight", initializer=[1.0, 2.0])
        fed = tf.compat.v1.placeholder(tf.float32, [2])
        optimizer = tf.compat.v1.train.RMSPropOptimizer(0.1, decay=0.9, momentum=0.8, epsilon=0.001)
        step = optimizer.apply_gradients([(fed, weight)])
        session.run(tf.compat.v1.global_variables_initializer())
        for gradient in gradients:
            session.run(step, {fed: gradient})
        expected = session.run(weight)
    got = updated("rmsprop", tf.Variable([1.0, 2.0]), gradients, momentum=0.8)
    np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("name", [name for name, optimizer in OPTIMIZERS.items() if optimizer.decays])
def test_undecayed_weights_do_not_decay(name, told):
    def ends(decay):
        scale = tf.Variable([3.0, -1.0], name="layer/scale")
        other = tf.Variable([3.0, -1.0], name="another_layer/scale")  # its name ends like the first one's
        optimizer = make_optimizer(name, constant(0.1), weight_decay=decay, undecayed=[scale] if told else [])
        optimizer.apply_gradients([(tf.constant([0.5, 0.1]), weight) for weight in (scale, other)])
        return [scale.numpy(), other.numpy()]

    decayed = [bool(np.any(a != b)) for a, b in zip(ends(0.0), ends(0.5))]
    assert decayed == [not told, True]


@pytest.mark.parametrize("name", ("adamw", "lamb"))
def test_adamw_and_lamb_never_decay_biases(name):
    ends = [updated(name, tf.Variable([3.0], name="dense/bias"), [[0.5]], weight_decay=decay) for decay in (0.0, 0.5)]
    np.testing.assert_array_equal(*ends)


def test_lars_scales_the_rate_except_for_unadapted_weights():
    for told in (False, True):
        variable = tf.Variable([3.0, -4.0], name="kernel")
        optimizer = make_optimizer("lars", constant(1.0), unadapted=[variable] if told else [])
        optimizer.apply_gradients([(tf.constant([0.0, 10.0]), variable)])
        np.testing.assert_allclose(variable, [3.0, -14.0 if told else -4.005], rtol=1e-6)


@pytest.mark.parametrize("name", config.OPTIMIZERS)
def test_gradients_are_clipped_by_their_common_norm(name):
    for clip, lengths in ((None, (30.0, 40.0)), (1.0, (0.6, 0.8))):
        variables = [tf.Variable([1.0, 1.0]), tf.Variable([1.0])]
        optimizer = make_optimizer(name, constant(0.01), clip_norm=clip)
        optimizer.apply_gradients([(tf.constant([30.0, 0.0]), variables[0]), (tf.constant([40.0]), variables[1])])
        same = [tf.Variable([1.0, 1.0]), tf.Variable([1.0])]
        optimizer = make_optimizer(name, constant(0.01))
        optimizer.apply_gradients([(tf.constant([lengths[0], 0.0]), same[0]), (tf.constant([lengths[1]]), same[1])])
        for variable, expected in zip(variables, same):
            np.testing.assert_allclose(variable, expected, rtol=1e-5)


@pytest.mark.parametrize("name", config.OPTIMIZERS)
def test_every_name_goes_downhill(name):
    variable = tf.Variable([2.0, -3.0])
    optimizer = make_optimizer(name, constant(0.01), weight_decay=0.01)
    for _ in range(20):
        optimizer.apply_gradients([(2 * variable, variable)])
    assert np.all(np.abs(variable.numpy()) < [2.0, 3.0])


def test_every_choice_of_the_option_is_an_optimizer():
    assert tuple(OPTIMIZERS) == config.OPTIMIZERS


def test_an_unknown_name_is_rejected():
    with pytest.raises(ArgumentError, match="^name='larz': must be one of sgd, .*; did you mean lars?"):
        make_optimizer("larz", constant(0.1))


def test_optimizers_that_decay_by_themselves_are_marked():
    decays = []
    for name in config.OPTIMIZERS:
        got = [
            updated(name, tf.Variable([3.0, -1.0], name="kernel"), [[0.5, 0.1]], weight_decay=decay)
            for decay in (0, 0.5)
        ]
        decays += [name] if np.any(got[0] != got[1]) else []
    assert decays == [name for name, optimizer in OPTIMIZERS.items() if optimizer.decays]


def test_lamb_comes_without_the_end_of_life_notice_of_its_library():
    code = (
        "import warnings; warnings.simplefilter('error', UserWarning)\n"
        "from supcon_tf.optimizers import make_optimizer; make_optimizer('lamb', 0.1)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

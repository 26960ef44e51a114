import numpy as np
import tensorflow as tf
from tensorflow import keras

from supcon_tf.models.weight_decay import decaying_weights, l2_term


def mixed_layers():
    """Returns an encoder with each kind of normalisation, and with meaningless names."""
    inputs = keras.Input((8, 8, 4))
    x = keras.layers.Conv2D(4, 3, name="a")(inputs)
    x = keras.layers.BatchNormalization(name="b")(x)
    x = keras.layers.LayerNormalization(name="c")(x)
    inner = keras.Sequential([keras.layers.GroupNormalization(2), keras.layers.Dense(3)], name="d")
    return keras.Model(inputs, inner(x))


def test_layers_that_normalise_do_not_decay_wherever_they_are():
    model = mixed_layers()
    weights = decaying_weights([model])
    assert [weight.shape.as_list() for weight in weights] == [[3, 3, 4, 4], [4], [4, 3], [3]]


def test_they_do_if_asked_but_never_moving_averages():
    weights = decaying_weights([mixed_layers()], normalization=True)
    assert len(weights) == 4 + 3 * 2
    assert not any("moving" in weight.name for weight in weights)


def test_frozen_weights_do_not_decay():
    model = mixed_layers()
    model.trainable = False
    assert decaying_weights([model]) == []


def test_the_gradient_of_the_term_is_the_weight_times_the_decay():
    weights = [tf.Variable([[3.0, -1.0]]), tf.Variable([2.0])]
    with tf.GradientTape() as tape:
        term = l2_term(weights, 0.1)
    np.testing.assert_allclose(term, 0.05 * (9 + 1 + 4), rtol=1e-6)
    for gradient, weight in zip(tape.gradient(term, weights), weights):
        np.testing.assert_allclose(gradient, 0.1 * weight.numpy(), rtol=1e-6)

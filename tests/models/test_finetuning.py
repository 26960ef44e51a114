"""An encoder that was trained before: which layers are trained, and how fast."""

import numpy as np
import pytest
from tensorflow import keras

from supcon_tf import models
from supcon_tf.errors import ArgumentError
from supcon_tf.losses import SupConLoss
from supcon_tf.models import build_encoder
from supcon_tf.models.finetuning import freeze, rate_factors


def test_factors_follow_the_size_of_the_outputs():
    encoder = build_encoder("resnet18", (64, 64, 3), width=0.125)
    factors = rate_factors(encoder, 0.5)
    by_name = {weight.name: factor for weight, factor in factors}
    assert len(factors) == len(encoder.trainable_weights)
    first, last = encoder.trainable_weights[0].name, encoder.trainable_weights[-1].name
    heights = {layer.output_shape[1] for layer in encoder.layers if layer.weights and len(layer.output_shape) == 4}
    assert sorted(set(by_name.values())) == [0.5**power for power in range(len(heights), 0, -1)]
    assert (by_name[first], by_name[last]) == (0.5 ** len(heights), 0.5)


def test_layers_of_a_model_inside_have_their_own_factors():
    images = keras.Input((32, 32, 3))
    inner = build_encoder("small", (32, 32, 3), width=0.125)
    nested = keras.Model(images, inner(keras.layers.Rescaling(1.0)(images)))
    expected = {weight.name: factor for weight, factor in rate_factors(inner, 0.5)}
    assert {weight.name: factor for weight, factor in rate_factors(nested, 0.5)} == expected
    assert len(set(expected.values())) > 1


@pytest.mark.parametrize("decay", [0, -0.5, 1.5, float("nan")])
def test_a_decay_outside_its_range_is_refused(decay):
    with pytest.raises(ArgumentError, match="decay="):
        rate_factors(build_encoder("small", (8, 8, 3), width=0.125), decay)


def test_batch_normalisation_that_is_not_trained_stays_as_it_is_through_frozen_and_other_epochs():
    encoder = build_encoder("small", (8, 8, 3), width=0.125)
    number = len(encoder.trainable_weights)
    freeze(encoder, all_layers=True, batch_norm=True)
    assert not encoder.trainable_weights
    freeze(encoder, all_layers=False, batch_norm=True)
    norms = [layer for layer in encoder.submodules if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(encoder.trainable_weights) == number - 2 * len(norms)
    before = [weight.numpy() for layer in norms for weight in layer.weights]
    model = models.ContrastiveModel(encoder, models.ProjectionHead((8, 4)))
    model.compile("sgd", SupConLoss())
    views = np.random.default_rng(0).integers(0, 256, (6, 2, 8, 8, 3)).astype(np.uint8)
    model.fit(views, np.arange(6) % 3, verbose=0)
    for old, new in zip(before, (weight.numpy() for layer in norms for weight in layer.weights)):
        np.testing.assert_array_equal(old, new)

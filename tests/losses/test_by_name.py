"""Tests that the options choose and build the loss."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf import config
from supcon_tf.losses import (
    LOSSES,
    Memory,
    MixedSupConLoss,
    NPairsLoss,
    NTXentLoss,
    SupConLoss,
    TripletLoss,
    make_contrastive_loss,
)


def make(mode="supcon", normalize=True, mix="none", temperature=0.3, memory=None, **options):
    return make_contrastive_loss(
        config.LossOptions(**options),
        mode=mode,
        normalize=normalize,
        mix=mix,
        temperature=temperature,
        memory=memory,
    )


def test_every_choice_of_the_option_has_a_maker():
    assert sorted(LOSSES) == sorted(config.CONTRASTIVE_LOSSES)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, SupConLoss),
        ({"mode": "simclr"}, NTXentLoss),
        ({"mix": "mixup"}, MixedSupConLoss),
        ({"contrastive_loss": "npairs"}, NPairsLoss),
        ({"contrastive_loss": "triplet"}, TripletLoss),
    ],
    ids=str,
)
def test_options_choose_the_class(arguments, expected):
    assert type(make(**arguments)) is expected
    assert make(normalize=False, **arguments).normalize is False


def test_options_reach_the_loss():
    options = {
        "summation": "in",
        "denominator": "one_positive",
        "anchors": "one",
        "scale_by_temperature": True,
        "positives_cap": 2,
    }
    found = make(**options).get_config()
    assert {name: found[name] for name in options} == options
    assert found["temperature"] == 0.3
    assert make(mix="mixup", scale_by_temperature=True).scale == 0.3
    assert make(contrastive_loss="npairs").temperature == 0.3


@pytest.mark.parametrize("mode", ["supcon", "simclr"])
def test_the_memory_of_the_model_reaches_the_loss(mode):
    def memory():
        return Memory(tf.zeros([1, 2]), tf.zeros([1], tf.int32), tf.zeros([1], tf.bool))

    assert make(mode=mode, memory=memory).memory is memory


def test_a_loss_of_the_users_own_takes_one_entry(monkeypatch):
    class Toy(keras.losses.Loss):
        def __init__(self, temperature):
            super().__init__()
            self.temperature = temperature

        def call(self, y_true, y_pred):
            return tf.reduce_sum(y_pred, axis=[1, 2]) / self.temperature

    monkeypatch.setitem(LOSSES, "toy", lambda options, *, temperature, **unused: Toy(temperature))
    options = dataclasses.replace(config.LossOptions(), contrastive_loss="toy")
    loss = make_contrastive_loss(options, mode="supcon", normalize=True, mix="none", temperature=0.5, memory=None)
    np.testing.assert_allclose(loss(tf.zeros([2]), tf.ones([2, 2, 3])), 12.0)

"""Compares the page of equations with one loop for each sum, and the public function with that page."""

import itertools

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf

from supcon_tf import config
from supcon_tf.losses import Memory, NTXentLoss, reference, supervised_contrastive_loss
from tests.losses import oracle

VARIANTS = list(itertools.product(config.SUMMATIONS, config.DENOMINATORS, (None, 0, 2)))
DIM = 5


def random_batch(seed, batch=8, views=2, classes=3):
    rng = np.random.default_rng(seed)
    return oracle.normalized(rng.normal(size=(batch, views, DIM))), rng.integers(-1, classes, size=batch)


def random_memory(seed, size=11, classes=3):
    rng = np.random.default_rng(1000 + seed)
    projections = oracle.normalized(rng.normal(size=(size, DIM)))
    return projections, rng.integers(-1, classes, size=size), rng.random(size) < 0.7


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: "-".join(map(str, variant)))
@hypothesis.settings(max_examples=8, deadline=None)
@hypothesis.given(
    seed=st.integers(0, 10_000),
    batch=st.integers(1, 8),
    views=st.integers(1, 3),
    classes=st.integers(1, 4),
    temperature=st.floats(0.05, 2.0),
    with_memory=st.booleans(),
)
def test_it_equals_one_loop_for_each_sum(variant, seed, batch, views, classes, temperature, with_memory):
    projections, labels = random_batch(seed, batch, views, classes)
    memory = random_memory(seed, classes=classes) if with_memory and variant[2] is None else None
    expected = oracle.contrastive(projections, labels, temperature, *variant, memory=memory)
    found = reference.losses_of_views(
        tf.constant(labels),
        tf.constant(projections),
        temperature,
        *variant,
        memory=memory and Memory(*map(tf.constant, memory)),
    )
    assert found.dtype == tf.float64
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("variant", VARIANTS[::4], ids=lambda variant: "-".join(map(str, variant)))
def test_its_gradient_equals_finite_differences(variant):
    projections, labels = random_batch(1)
    given = tf.constant(projections)
    with tf.GradientTape() as tape:
        tape.watch(given)
        total = tf.reduce_sum(reference.losses_of_views(tf.constant(labels), given, 0.3, *variant))

    def loss(z):
        return oracle.contrastive(z, labels, 0.3, *variant).sum()

    expected = oracle.central_differences(loss, projections)
    np.testing.assert_allclose(tape.gradient(total, given), expected, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"anchors": "one"},
        {"scale_by_temperature": True},
        {"normalize": False},
        {"summation": "in", "denominator": "one_positive", "positives_cap": 1},
        {"denominator": "only_negatives", "memory": True},
    ],
    ids=str,
)
def test_the_public_function_equals_it(options):
    projections, labels = random_batch(2)
    given = tf.constant(3.0 * projections), tf.constant(labels)
    options = dict(options)
    if options.get("memory"):
        options["memory"] = Memory(*map(tf.constant, random_memory(2)))
    expected = reference.supervised_contrastive_loss(given[1], given[0], 0.4, **options)
    found = supervised_contrastive_loss(given[1], given[0], 0.4, **options)
    assert found.dtype == tf.float32 and found.shape == [8]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_without_labels_it_is_the_loss_of_simclr():
    projections, _ = random_batch(3)
    expected = NTXentLoss(0.2).call(tf.range(8), tf.constant(projections))
    found = reference.supervised_contrastive_loss(tf.fill([8], -1), tf.constant(projections), 0.2)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_public_function_is_differentiated_by_the_temperature():
    projections, labels = random_batch(4)
    temperature = tf.constant(0.3)
    with tf.GradientTape() as tape:
        tape.watch(temperature)
        total = tf.reduce_sum(supervised_contrastive_loss(labels, projections, temperature))

    def loss(tau):
        return oracle.contrastive(projections, labels, float(tau)).mean(axis=1).sum()

    expected = oracle.central_differences(loss, np.array(0.3))
    np.testing.assert_allclose(tape.gradient(total, temperature), expected, rtol=1e-4)

"""Tests that a loss on several replicas, each with its part of the batch, equals that of one with the whole batch."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf.losses import Memory, NTXentLoss, SupConLoss

IMAGES, VIEWS, DIM = 24, 2, 5
TEMPERATURE = 0.1


def memory(size=13):
    rng = np.random.default_rng(size)
    projections = tf.constant(rng.normal(size=(size, DIM)), tf.float32)
    return Memory(projections, tf.constant(rng.integers(-1, 5, size=size)), tf.constant(rng.random(size) < 0.7))


CASES = {
    "default": functools.partial(SupConLoss),
    "in": functools.partial(SupConLoss, summation="in"),
    "only_negatives": functools.partial(SupConLoss, denominator="only_negatives"),
    "in_one_positive": functools.partial(SupConLoss, summation="in", denominator="one_positive"),
    "capped": functools.partial(SupConLoss, positives_cap=1),
    "one_anchor": functools.partial(SupConLoss, anchors="one"),
    "nt_xent": functools.partial(NTXentLoss),
    "memory": functools.partial(SupConLoss, memory=memory),
    "memory_in_one_positive": functools.partial(
        SupConLoss, summation="in", denominator="one_positive", memory=memory, tile_size=4
    ),
    "memory_nt_xent": functools.partial(NTXentLoss, memory=memory),
}
FEW = ("default", "only_negatives", "in_one_positive", "nt_xent")  # one with a memory is in a test below
LEARNED = (
    "default",
    "in_one_positive",
    "memory",
    "memory_in_one_positive",
)  # whose temperature is a tensor, for its gradient


def batch(images=IMAGES):
    rng = np.random.default_rng(images)
    projections = rng.normal(size=(images, VIEWS, DIM)).astype(np.float32)
    return projections, rng.integers(-1, 5, size=images).astype(np.int32), rng.random(images).astype(np.float32)


def step_of(make_loss, images, learned):
    """(projections, labels, weights) of a replica → its losses, and gradients of its share of the weighted mean."""

    def step(projections, labels, weights):
        temperature = tf.constant(TEMPERATURE)
        loss = make_loss(temperature if learned else TEMPERATURE)
        with tf.GradientTape() as tape:
            tape.watch([projections, temperature])
            losses = loss.call(labels, projections)
            total = tf.reduce_sum(losses * weights) / images
        gradients = tape.gradient(total, [projections, temperature], unconnected_gradients="zero")
        return losses, gradients[0], gradients[1]

    return step


def on_one(make_loss, data, learned):
    step = tf.function(step_of(make_loss, len(data[0]), learned))
    return [tensor.numpy() for tensor in step(*map(tf.constant, data))]


@functools.cache
def expected_of(case):
    return on_one(CASES[case], batch(), case in LEARNED)


def on_replicas(sizes, make_loss, data, learned):
    """Joins losses and gradients of all replicas, and sums the gradients of the temperature."""
    tf.distribute.MirroredStrategy._collective_key_base += 100_000
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(len(sizes))])
    ends = np.cumsum(sizes)
    parts = [[x[end - size : end] for size, end in zip(sizes, ends)] for x in data]

    def per_replica_values(part):
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(part[context.replica_id_in_sync_group])
        )

    step = step_of(make_loss, len(data[0]), learned)
    results = tf.function(lambda *args: strategy.run(step, args))(*map(per_replica_values, parts))
    losses, gradient, temperature_gradient = map(strategy.experimental_local_results, results)
    return [np.concatenate(losses), np.concatenate(gradient), np.sum(temperature_gradient, axis=0)]


def assert_equal(found, expected):
    for name, ours, theirs in zip(("values", "gradient", "gradient of τ"), found, expected):
        ours, theirs = np.float64(ours).ravel(), np.float64(theirs).ravel()
        if not theirs.any():
            assert not ours.any(), name
            continue
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6 * np.abs(theirs).max(), err_msg=name)
        lengths = np.linalg.norm(ours), np.linalg.norm(theirs)
        assert ours @ theirs / np.prod(lengths) > 1 - 1e-9, name
        assert abs(lengths[0] / lengths[1] - 1) < 1e-6, name


@pytest.mark.parametrize(
    ("case", "replicas"),
    [
        *((case, 2) for case in FEW),
        *(pytest.param(case, 2, marks=pytest.mark.slow) for case in CASES if case not in FEW),
        pytest.param("default", 8, marks=pytest.mark.slow),
        pytest.param("in_one_positive", 8, marks=pytest.mark.slow),
    ],
)
def test_values_and_gradients_are_those_of_one_replica_with_the_whole_batch(case, replicas):
    found = on_replicas([IMAGES // replicas] * replicas, CASES[case], batch(), case in LEARNED)
    assert np.abs(expected_of(case)[1]).max() > 1e-3
    assert_equal(found, expected_of(case))


@pytest.mark.slow
def test_several_tiles_on_each_replica_change_nothing():
    make_loss = functools.partial(CASES["in_one_positive"], tile_size=4)
    assert_equal(on_replicas([IMAGES // 2] * 2, make_loss, batch(), True), expected_of("in_one_positive"))


@pytest.mark.parametrize(
    ("case", "sizes"),
    [
        ("default", (5, 3)),
        pytest.param("in_one_positive", (3, 5), marks=pytest.mark.slow),
        pytest.param("capped", (1, 7), marks=pytest.mark.slow),
        ("default", (3, 0)),
        ("memory", (1, 4, 3)),
    ],
)
def test_replicas_may_have_different_numbers_of_images(case, sizes):
    data, learned = batch(sum(sizes)), case in LEARNED
    assert_equal(on_replicas(sizes, CASES[case], data, learned), on_one(CASES[case], data, learned))


def test_the_mean_over_replicas_of_a_replicas_mean_is_that_of_the_batch():
    projections, labels, _ = batch()
    replicas = 4
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])
    loss = SupConLoss(TEMPERATURE, reduction=keras.losses.Reduction.SUM_OVER_BATCH_SIZE)
    expected = loss(tf.constant(labels), tf.constant(projections))
    loss._allow_sum_over_batch_size = True  # as `Model.compile` says of its losses

    def share():
        own = IMAGES // replicas
        start = own * tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.int32)
        mine = slice(start, start + own)
        return loss(tf.constant(labels)[mine], tf.constant(projections)[mine]) / replicas

    shares = strategy.experimental_local_results(tf.function(lambda: strategy.run(share))())
    assert len({float(value) for value in shares}) == replicas
    np.testing.assert_allclose(np.sum(shares), expected, rtol=1e-6)


def after_one_step(strategy):
    """A Keras model's loss in the first step of `fit`, and its weights after it."""
    projections, labels, weights = batch()
    with strategy.scope():
        layer = keras.layers.Dense(DIM, kernel_initializer=keras.initializers.RandomNormal(seed=1))
        model = keras.Sequential([keras.Input([VIEWS, DIM]), layer])
        loss = SupConLoss(TEMPERATURE, reduction=keras.losses.Reduction.SUM_OVER_BATCH_SIZE)
        model.compile(keras.optimizers.legacy.SGD(1.0), loss)
    before = layer.get_weights()
    data = tf.data.Dataset.from_tensors((projections, labels, weights)).unbatch().batch(IMAGES)
    history = model.fit(data, verbose=0)
    return history.history["loss"][0], [new - old for new, old in zip(layer.get_weights(), before)]


@pytest.mark.slow
def test_a_step_of_a_keras_model_is_that_of_one_replica():
    expected_loss, expected_steps = after_one_step(tf.distribute.get_strategy())
    found_loss, found_steps = after_one_step(tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(2)]))
    np.testing.assert_allclose(found_loss, expected_loss, rtol=1e-6)
    for found, expected in zip(found_steps, expected_steps):
        assert np.abs(expected).max() > 1e-3
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * np.abs(expected).max())

"""Compares the loss of mixed images with the page of equations, and that page with a loop over the anchors."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf.errors import ArgumentError
from supcon_tf.losses import MixedSupConLoss, SupConLoss, reference
from supcon_tf.models import ContrastiveModel, ProjectionHead
from tests.losses import oracle

BATCH, VIEWS, DIM, CLASSES = 8, 2, 5, 4


def make_batch(seed=0, views=VIEWS):
    rng = np.random.default_rng(seed)
    projections = rng.normal(size=(BATCH, views, DIM))
    classes = np.eye(CLASSES)[rng.integers(0, CLASSES, BATCH)]
    shares = rng.random((BATCH, 1))
    return projections, shares * classes + (1 - shares) * classes[::-1]


def equation(projections, labels, temperature):
    """Returns L_i of each view of each image, anchor by anchor; projections are not normalised here."""
    images, views, _ = projections.shape
    rows = projections.reshape(images * views, -1)
    image_of = np.repeat(np.arange(images), views)
    losses = np.empty(len(rows))
    for i, anchor in enumerate(rows):
        others = np.arange(len(rows)) != i
        similarities = rows[others] @ anchor / temperature
        weights = labels[image_of[others]] @ labels[image_of[i]]
        share = labels[image_of[i]].sum()
        mean = weights @ similarities / weights.sum() if share else 0
        losses[i] = share * (np.log(np.sum(np.exp(similarities))) - mean)
    return losses.reshape(images, views)


@pytest.mark.parametrize("views", [2, 3])
@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_the_page_of_equations_equals_one_loop_for_each_anchor(temperature, views):
    projections, labels = make_batch(views=views)
    labels[2] = 0
    labels[5] *= 0.6
    for normalize in (True, False):
        z = oracle.normalized(projections) if normalize else projections
        found = reference.mixed_supervised_contrastive_loss(
            tf.constant(labels), tf.constant(projections), temperature, normalize=normalize
        )
        assert found.dtype == tf.float64
        np.testing.assert_allclose(found, equation(z, labels, temperature).mean(axis=1), rtol=1e-10)


@pytest.mark.parametrize("views", [2, 3])
@pytest.mark.parametrize("options", [{}, {"scale_by_temperature": True}, {"normalize": False}], ids=str)
@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_value_is_that_of_the_page_of_equations(temperature, options, views):
    projections, labels = (tf.constant(x) for x in make_batch(views=views))
    expected = reference.mixed_supervised_contrastive_loss(labels, projections, temperature, **options)
    found = MixedSupConLoss(temperature, **options).call(labels, projections)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_image_without_a_label_is_no_anchor_and_one_mixed_with_it_by_the_rest():
    projections, labels = make_batch(1)
    labels[2] = 0
    labels[5] *= 0.6
    expected = reference.mixed_supervised_contrastive_loss(tf.constant(labels), tf.constant(projections), 0.1)
    given = tf.constant(projections, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(given)
        found = MixedSupConLoss(0.1).call(tf.constant(labels), given)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert found[2] == 0 and np.isfinite(tape.gradient(found, given)).all()


def test_with_one_class_for_each_image_it_is_the_supervised_contrastive_loss():
    projections, _ = make_batch(2)
    classes = np.array([0, 0, 1, 2, 1, 3, 2, 0])
    expected = SupConLoss(0.1).call(tf.constant(classes), tf.constant(projections))
    found = MixedSupConLoss(0.1).call(tf.one_hot(classes, CLASSES), tf.constant(projections))
    # Images that are alone in their class have positives all the same: their own other views.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_gradient_equals_that_of_the_page_which_equals_finite_differences():
    projections, labels = make_batch(3)

    def gradient(losses, z):
        with tf.GradientTape() as tape:
            tape.watch(z)
            total = tf.reduce_sum(losses(tf.constant(labels), z))
        return tape.gradient(total, z)

    def page(y, z):
        return reference.mixed_supervised_contrastive_loss(y, z, 0.2, normalize=False)

    expected = oracle.central_differences(lambda z: equation(z, labels, 0.2).mean(axis=1).sum(), projections)
    page_gradient = gradient(page, tf.constant(projections))
    np.testing.assert_allclose(page_gradient, expected, atol=1e-6 * np.abs(expected).max())
    found = gradient(MixedSupConLoss(0.2, normalize=False).call, tf.constant(projections, tf.float32))
    np.testing.assert_allclose(found, page_gradient, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_value_and_gradient_are_those_of_one_replica_with_the_whole_batch():
    projections, labels = make_batch(4)

    def step(y, z):
        with tf.GradientTape() as tape:
            tape.watch(z)
            losses = MixedSupConLoss(0.1).call(y, z)
            total = tf.reduce_sum(losses)
        return losses, tape.gradient(total, z)

    batch = tf.constant(labels, tf.float32), tf.constant(projections, tf.float32)
    expected = tf.function(step)(*batch)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    parts = [
        strategy.experimental_distribute_values_from_function(
            lambda context, x=x: tf.split(x, 2)[context.replica_id_in_sync_group]
        )
        for x in batch
    ]
    results = tf.function(lambda *parts: strategy.run(step, parts))(*parts)
    for found, wanted in zip(map(strategy.experimental_local_results, results), expected):
        np.testing.assert_allclose(np.concatenate(found), wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


def test_collapsed_loss_is_that_of_equal_projections():
    projections, labels = make_batch(5)
    labels[2] = 0
    labels[5] *= 0.6
    equal = tf.ones_like(tf.constant(projections, tf.float32))
    loss = MixedSupConLoss(0.1, scale_by_temperature=True)
    found = loss.diagnostics(tf.constant(labels), equal)
    assert tuple(found) == loss.DIAGNOSTICS
    np.testing.assert_allclose(loss.scale * found["collapsed_loss"], loss(tf.constant(labels), equal), rtol=1e-5)


def test_a_model_learns_its_temperature():
    encoder = keras.Sequential([keras.layers.Input([4, 4, 1]), keras.layers.Flatten(), keras.layers.Dense(6)])
    model = ContrastiveModel(encoder, ProjectionHead((DIM,)), learned_temperature=0.3)
    model.compile(keras.optimizers.SGD(0.1), MixedSupConLoss(model.temperature))
    views = tf.random.stateless_normal([BATCH, VIEWS, 4, 4, 1], seed=[0, 0])
    logs = model.train_step((views, tf.constant(make_batch(6)[1])))
    assert 0 < logs["loss"] == logs["unscaled_loss"]
    assert 0.01 < float(model.temperature()) != pytest.approx(0.3)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ArgumentError, match="temperature=-0.1: must be above 0"):
        MixedSupConLoss(-0.1)
    with pytest.raises(ValueError, match="projections: must hold at least two views"):
        MixedSupConLoss().call(tf.ones([4, 3]), tf.ones([4, 1, 5]))
    with pytest.raises(ValueError, match="labels: must be distributions"):
        MixedSupConLoss().call(tf.ones([4]), tf.ones([4, 2, 5]))


def test_it_is_made_again_from_its_config():
    loss = MixedSupConLoss(0.3, scale_by_temperature=True, normalize=False, tile_size=64)
    again = MixedSupConLoss.from_config(loss.get_config())
    assert again.get_config() == loss.get_config() and again.temperature == 0.3


def test_labels_that_are_no_distributions_are_refused():
    projections = tf.random.stateless_uniform([4, 2, 5], [0, 0])
    for labels in (tf.constant([0, 1, 1, 0]), tf.constant([[0], [1], [1], [0]])):
        with pytest.raises(ValueError, match=r"labels: must be distributions \[batch, classes\]"):
            MixedSupConLoss()(labels, projections)
    with pytest.raises(tf.errors.InvalidArgumentError, match="not negative"):
        MixedSupConLoss()(tf.constant([[1.0, 0.0], [-1.0, 2.0], [0.5, 0.5], [0.0, 1.0]]), projections)

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf.losses import NTXentLoss, SupConLoss
from tests.losses import oracle


def random_batch(seed, batch=6, views=2, dim=5, classes=3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(batch, views, dim)), rng.integers(-1, classes, size=batch)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(
    seed=st.integers(0, 10_000),
    batch=st.integers(1, 9),
    views=st.integers(1, 4),
    classes=st.integers(1, 5),
    temperature=st.floats(0.05, 2.0),
)
def test_equals_equation_2(seed, batch, views, classes, temperature):
    projections, labels = random_batch(seed, batch, views, classes=classes)
    ours = SupConLoss(temperature).call(tf.constant(labels), tf.constant(projections, tf.float32))
    assert ours.shape == [batch] and ours.dtype == tf.float32
    expected = oracle.supcon_out(oracle.normalized(projections), labels, temperature)
    np.testing.assert_allclose(ours, expected, rtol=2e-5, atol=2e-5)


def test_equals_the_authors_published_values():
    # losses_test.py of the authors' TensorFlow release: temperature 1, projections used as they are.
    projections = [
        [[0.01, 0.02, 0.14], [0.38, 0.61, 0.50]],
        [[0.86, 0.97, 0.33], [0.26, 0.68, 0.45]],
        [[0.32, 0.64, 0.28], [0.45, 0.74, 0.73]],
    ]
    loss = SupConLoss(temperature=1.0, normalize=False)
    ours = loss.call(tf.constant([0, 0, 1]), tf.constant(projections))
    np.testing.assert_allclose(ours, [1.675585, 1.797377, 1.584710], atol=2e-6)


def test_gradient_equals_finite_differences():
    projections, labels = random_batch(3)
    x = tf.constant(projections, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = SupConLoss(0.3)(tf.constant(labels), x)
    gradient = tape.gradient(value, x).numpy()
    step = 1e-6
    for index in np.ndindex(*projections.shape):
        up, down = projections.copy(), projections.copy()
        up[index] += step
        down[index] -= step
        difference = (
            oracle.supcon_out(oracle.normalized(up), labels, 0.3).mean()
            - oracle.supcon_out(oracle.normalized(down), labels, 0.3).mean()
        ) / (2 * step)
        np.testing.assert_allclose(gradient[index], difference, rtol=1e-3, atol=2e-6)


def test_nt_xent_is_supcon_with_every_image_a_class_of_its_own():
    projections, labels = random_batch(5, batch=7)
    ours = NTXentLoss(0.2).call(tf.constant(labels), tf.constant(projections, tf.float32))
    expected = oracle.supcon_out(oracle.normalized(projections), np.arange(7), 0.2)
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


@pytest.mark.parametrize("form", ["column", "one_hot"])
def test_label_forms_mean_the_same(form):
    projections = tf.constant(random_batch(7)[0], tf.float32)
    labels = tf.constant([0, 2, 1, 1, 0, 2])
    other = labels[:, tf.newaxis] if form == "column" else tf.one_hot(labels, 3)
    np.testing.assert_array_equal(SupConLoss()(labels, projections), SupConLoss()(other, projections))


def test_two_dimensional_projections_are_one_view():
    projections, labels = random_batch(9, views=1)
    flat = tf.constant(projections[:, 0], tf.float32)
    np.testing.assert_array_equal(
        SupConLoss().call(tf.constant(labels), flat),
        SupConLoss().call(tf.constant(labels), flat[:, tf.newaxis]),
    )


def test_anchor_without_positives_contributes_zero():
    projections = tf.constant(random_batch(11, batch=3, views=1)[0], tf.float32)
    losses = SupConLoss().call(tf.constant([0, 0, 1]), projections)
    assert losses[2] == 0 and losses[0] > 0


def test_half_precision_is_computed_in_float32():
    projections, labels = random_batch(13)
    rounded = tf.cast(tf.constant(projections), tf.bfloat16)
    ours = SupConLoss().call(tf.constant(labels), rounded)
    np.testing.assert_array_equal(ours, SupConLoss().call(tf.constant(labels), tf.cast(rounded, tf.float32)))


def test_scaling_multiplies_by_the_temperature():
    projections, labels = random_batch(15)
    x, y = tf.constant(projections, tf.float32), tf.constant(labels)
    np.testing.assert_allclose(SupConLoss(0.1, scale_by_temperature=True)(y, x), 0.1 * SupConLoss(0.1)(y, x), rtol=1e-6)


def test_sample_weights_and_reductions_work_as_in_keras():
    projections, labels = random_batch(17)
    x, y, weights = tf.constant(projections, tf.float32), tf.constant(labels), tf.constant([1.0, 0, 2, 0, 1, 3])
    each = SupConLoss(reduction=keras.losses.Reduction.NONE)(y, x)
    np.testing.assert_allclose(SupConLoss()(y, x, sample_weight=weights), tf.reduce_mean(each * weights), rtol=1e-6)
    np.testing.assert_allclose(SupConLoss(reduction=keras.losses.Reduction.SUM)(y, x), tf.reduce_sum(each), rtol=1e-6)


@pytest.mark.parametrize("loss_class", [SupConLoss, NTXentLoss])
def test_config_gives_back_the_same_loss(loss_class):
    loss = loss_class(0.3, scale_by_temperature=True, normalize=False, name="another")
    assert loss_class.from_config(loss.get_config()).get_config() == loss.get_config()


def test_diagnostics_are_what_their_names_say():
    labels = tf.constant([0, 0, 1, -1, -1])
    projections = tf.ones([5, 1, 4])
    found = SupConLoss().diagnostics(labels, projections)
    np.testing.assert_allclose(found["images_with_classmates"], 2 / 5)
    np.testing.assert_allclose(found["anchors_with_positives"], 2 / 5)
    np.testing.assert_allclose(SupConLoss().diagnostics(labels, tf.ones([5, 2, 4]))["anchors_with_positives"], 1.0)
    assert "images_with_classmates" not in NTXentLoss().diagnostics(labels, projections)
    np.testing.assert_allclose(NTXentLoss().diagnostics(labels, projections)["anchors_with_positives"], 0.0)


def test_collapsed_embeddings_leave_the_loss_at_collapsed_loss():
    labels, projections = tf.constant([0, 0, 1, 1]), tf.ones([4, 2, 8])
    loss = SupConLoss(0.1)
    np.testing.assert_allclose(loss(labels, projections), np.log(7), rtol=1e-5)
    np.testing.assert_allclose(loss.diagnostics(labels, projections)["collapsed_loss"], np.log(7), rtol=1e-6)


def test_temperature_must_be_positive():
    with pytest.raises(ValueError, match="temperature must be positive"):
        SupConLoss(0.0)

"""Checks that the engine equals the reference in float64 where exponentials overflow, underflow or cancel."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.losses import NTXentLoss, SupConLoss, reference
from supcon_tf.losses.engine import contrastive_losses
from supcon_tf.losses.variants import LossVariant
from tests.losses import oracle

VARIANTS = [
    LossVariant(),
    LossVariant("in"),
    LossVariant("out", "only_negatives"),
    LossVariant("in", "one_positive"),
    LossVariant("out", "all", 1),
]
FAST = (VARIANTS[0], VARIANTS[3])
TWO_FAST = [variant if variant in FAST else pytest.param(variant, marks=pytest.mark.slow) for variant in VARIANTS]
TEMPERATURES = (0.005, 0.05, 1.0, 10.0)
DIM = 8


def named(variant):
    return "-".join(map(str, variant))


@functools.cache
def compiled(variant, fixed=None):
    """Compiles (projections, labels, weights, τ) → L_i, and the gradients of Σ w_i L_i, for any batch and views."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, DIM]),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None, None]),
            tf.TensorSpec([]),
        ]
    )
    def value_and_gradients(projections, labels, weights, temperature):
        with tf.GradientTape() as tape:
            tape.watch([projections, temperature])
            losses = contrastive_losses(
                projections, labels, fixed or temperature, variant, unit_length=fixed is not None, tile_size=6
            )
            total = tf.reduce_sum(weights * losses)
        return losses, *tape.gradient(total, [projections, temperature], unconnected_gradients="zero")

    return value_and_gradients


def expected_of(variant, projections, labels, weights, temperature):
    x, tau = tf.constant(projections, tf.float64), tf.constant(temperature, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch([x, tau])
        losses = reference.losses_of_views(labels, x, tau, *variant)
        total = tf.reduce_sum(weights * losses)
    gradients = tape.gradient(total, [x, tau], unconnected_gradients="zero")
    return [tensor.numpy() for tensor in (losses, *gradients)]


def check(variant, projections, labels, temperature, function=None):
    """Compares the engine with the reference of the very same float32 numbers."""
    projections, temperature = np.float32(projections), np.float32(temperature)
    weights = np.random.default_rng(0).random(projections.shape[:2]).astype(np.float32)
    found = (function or compiled(variant))(projections, np.int32(labels), weights, temperature)
    expected = expected_of(variant, projections, labels, weights, temperature)
    # s itself is known to about ε·|z|²/τ only, and an error in s is a relative error in exp s. Where nothing else is
    # left of the gradient, its size is that of the largest |z|/τ times w.
    longest = np.sqrt((projections.astype(np.float64) ** 2).sum(-1).max())
    s_error = 2.0**-24 * longest**2 / temperature if longest <= 1.001 else 0.0
    value, gradient = np.abs(expected[0]).max(), np.abs(expected[1]).max()
    value_error, gradient_error = max(1e-5, s_error), max(2e-5, 4 * s_error)
    rounding = (1e-6 + 2 * s_error) * longest / temperature
    for name, tensor in zip(("value", "gradient", "gradient of τ"), found):
        assert np.isfinite(tensor).all(), name
    np.testing.assert_allclose(
        found[0], expected[0], atol=value_error * value + max(1e-6, 2 * s_error), rtol=0, err_msg="value"
    )
    np.testing.assert_allclose(found[1], expected[1], atol=gradient_error * gradient + rounding, rtol=0)
    if function is not None:  # whose τ is a number, without a gradient
        return
    parts = np.abs(projections * expected[1]).sum() / temperature
    np.testing.assert_allclose(
        found[2], expected[2], atol=gradient_error * parts + rounding * longest / temperature, rtol=0
    )


def random_batch(seed, batch=10, views=2, classes=3):
    rng = np.random.default_rng(seed)
    return oracle.normalized(rng.normal(size=(batch, views, DIM))), rng.integers(-1, classes, size=batch)


def unrelated():
    return random_batch(1, batch=13)


def duplicates():
    projections, labels = random_batch(2)
    return np.concatenate([projections, projections, projections[:3]]), np.concatenate([labels, labels, labels[3:6]])


def collapsed():
    projections, labels = random_batch(3)
    return np.broadcast_to(projections[:1, :1], projections.shape), labels


def long_ones():
    projections, labels = random_batch(4, batch=12)
    projections = 30.0 * projections
    projections[::5] *= 100.0
    return projections, labels


def zeros_among_them():
    projections, labels = random_batch(5)
    projections[::3] = 0.0
    return projections, labels


def classes_of_one_image():
    projections, _ = random_batch(6, batch=7)
    return projections, np.array([0, 1, 2, 3, 3, 4, 5])


def classes_of_one_sample():
    projections, _ = random_batch(7, batch=7, views=1)
    return projections, np.array([0, 1, 2, 3, 3, 4, 5])


def one_image_in_one_view():
    return random_batch(8, batch=1, views=1)


def one_image_in_two_views():
    return random_batch(9, batch=1, views=2)


def one_class():
    projections, labels = random_batch(10)
    return projections, np.zeros_like(labels)


def unlabelled():
    projections, labels = random_batch(11)
    return projections, np.full_like(labels, -1)


def views_that_nearly_agree():
    projections, labels = random_batch(12)
    noise = np.random.default_rng(13).normal(size=projections.shape)
    return oracle.normalized(projections[:, :1] + 1e-3 * noise), labels


BATCHES = [
    unrelated,
    duplicates,
    collapsed,
    long_ones,
    zeros_among_them,
    classes_of_one_image,
    classes_of_one_sample,
    one_image_in_one_view,
    one_image_in_two_views,
    one_class,
    unlabelled,
    views_that_nearly_agree,
]


@pytest.mark.parametrize("variant", TWO_FAST, ids=named)
@pytest.mark.parametrize("batch", BATCHES, ids=lambda function: function.__name__)
def test_equals_the_reference(variant, batch):
    for temperature in TEMPERATURES:
        check(variant, *batch(), temperature)


@pytest.mark.parametrize("variant", [VARIANTS[0], pytest.param(VARIANTS[3], marks=pytest.mark.slow)], ids=named)
@pytest.mark.parametrize("temperature", [0.005, 0.05])
def test_equals_the_reference_where_the_temperature_is_a_number(variant, temperature):
    for batch in BATCHES:
        if batch is not long_ones:
            check(variant, *batch(), temperature, compiled(variant, temperature))


@pytest.mark.parametrize("variant", TWO_FAST, ids=named)
def test_sums_that_would_underflow_or_overflow(variant):
    """All others are opposite to the anchor: its exp s are e^−200, and theirs with each other e^200."""
    projections = np.zeros([6, 2, DIM])
    projections[..., 0] = -1.0
    projections[0, 0, 0] = 1.0
    for labels in ([0, 0, 0, 1, 1, 2], [0, 1, 1, 1, 2, 2], [-1] * 6, [0] * 6):
        check(variant, projections, np.array(labels), 0.005)
        check(variant, projections[:, :1], np.array(labels), 0.005)


def test_an_anchor_opposite_to_all_others_has_the_loss_of_equal_similarities():
    projections = np.zeros([5, 1, DIM], np.float32)
    projections[..., 0] = -1.0
    projections[0, 0, 0] = 1.0
    losses = compiled(LossVariant())(projections, np.zeros(5, np.int32), np.ones([5, 1], np.float32), 0.005)[0]
    np.testing.assert_allclose(losses[0], np.log(4), rtol=1e-4)


@pytest.mark.parametrize("variant", TWO_FAST, ids=named)
def test_a_positive_opposite_to_the_anchor_costs_two_over_the_temperature(variant):
    projections = np.zeros([3, 1, DIM], np.float32)
    projections[..., 0] = [[1.0], [-1.0], [1.0]]
    losses = compiled(variant)(projections, np.int32([0, 0, 1]), np.ones([3, 1], np.float32), 0.005)[0]
    np.testing.assert_allclose(losses[0], 400.0, rtol=1e-6)


@functools.cache
def compiled_loss(options, dtype, temperature):
    loss = SupConLoss(temperature, **dict(options))

    @tf.function(input_signature=[tf.TensorSpec([None, None, DIM], dtype), tf.TensorSpec([None], tf.int32)])
    def value_and_gradient(projections, labels):
        with tf.GradientTape() as tape:
            tape.watch(projections)
            losses = loss.call(labels, projections)
            total = tf.reduce_sum(losses)
        return losses, tape.gradient(total, projections)

    return value_and_gradient


OPTIONS = [(), pytest.param((("summation", "in"), ("denominator", "one_positive")), marks=pytest.mark.slow)]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_projections_of_length_zero_have_a_finite_loss_and_gradient(options):
    some, labels = zeros_among_them()
    for temperature in (0.005, 0.1):
        for projections in (some, np.zeros_like(some)):
            outputs = compiled_loss(options, tf.float32, temperature)(np.float32(projections), np.int32(labels))
            for tensor in outputs:
                assert np.isfinite(tensor).all()
            exact = tf.constant(np.float64(np.float32(projections)))
            expected = reference.losses_of_views(labels, exact, temperature, **dict(options))
            np.testing.assert_allclose(outputs[0], tf.reduce_mean(expected, axis=1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16], ids=lambda dtype: dtype.name)
def test_half_precision_gives_what_its_float32_cast_gives(options, dtype):
    projections, labels = unrelated()
    rounded, labels = tf.cast(projections, dtype), tf.constant(labels, tf.int32)
    losses, gradient = compiled_loss(options, dtype, 0.1)(rounded, labels)
    expected_losses, expected_gradient = compiled_loss(options, tf.float32, 0.1)(tf.cast(rounded, tf.float32), labels)
    assert losses.dtype == tf.float32 and gradient.dtype == dtype
    np.testing.assert_array_equal(losses, expected_losses)
    np.testing.assert_array_equal(tf.cast(gradient, tf.float32), tf.cast(tf.cast(expected_gradient, dtype), tf.float32))


def test_nt_xent_of_one_image_is_zero():
    projections = tf.constant(one_image_in_two_views()[0], tf.float32)
    np.testing.assert_allclose(NTXentLoss(0.005)(tf.constant([0]), projections), 0.0, atol=2e-5)

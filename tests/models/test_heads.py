"""Projection head, against NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from supcon_tf.models.heads import ProjectionHead, l2_normalize


@pytest.fixture
def bfloat16():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    yield
    keras.mixed_precision.set_global_policy("float32")


def random_embeddings(batch=6, dim=20):
    return np.random.default_rng(0).normal(size=(batch, dim)).astype(np.float32)


def built_head(*args, **options):
    head = ProjectionHead(*args, **options)
    head.build((None, 20))
    rng = np.random.default_rng(1)
    for weight in head.weights:
        if "kernel" not in weight.name:
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    return head


def dense_layers(head):
    return [layer for layer in head.stack.layers if isinstance(layer, keras.layers.Dense)]


def numpy_head(head, x, normalize=True, training=False):
    """Computes the head in float64."""
    x = x.astype(np.float64)
    for layer in head.stack.layers:
        weights = [weight.astype(np.float64) for weight in layer.get_weights()]
        if isinstance(layer, keras.layers.Dense):
            x = x @ weights[0] + (weights[1] if layer.use_bias else 0)
        elif isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = weights
            if training:
                mean, variance = x.mean(axis=0), x.var(axis=0)
            x = gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta
        else:
            x = np.maximum(x, 0)
    return x / np.linalg.norm(x, axis=-1, keepdims=True) if normalize else x


def kinds(head):
    return [type(layer).__name__ for layer in head.stack.layers]


def test_l2_normalize_agrees_with_numpy_and_is_float32():
    vectors = np.random.default_rng(0).normal(size=(5, 3, 7)) * np.logspace(-4, 4, 5)[:, np.newaxis, np.newaxis]
    expected = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    np.testing.assert_allclose(l2_normalize(vectors), expected, rtol=1e-5)
    assert l2_normalize(tf.cast(vectors, tf.bfloat16)).dtype == tf.float32


def test_l2_normalize_of_zero_is_zero_with_a_finite_gradient():
    zero = tf.zeros([2, 3])
    with tf.GradientTape() as tape:
        tape.watch(zero)
        result = l2_normalize(zero)
        total = tf.reduce_sum(result)
    np.testing.assert_array_equal(result, np.zeros((2, 3)))
    assert np.all(np.isfinite(tape.gradient(total, zero)))


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("layers, batch_norm", [((8,), False), ((16, 8), False), ((16, 8), True), ((16, 12, 8), True)])
def test_head_equals_numpy(layers, batch_norm, normalize):
    head = built_head(layers, batch_norm=batch_norm, normalize=normalize)
    for training in (False, True):
        expected = numpy_head(head, random_embeddings(), normalize, training)
        result = head(random_embeddings(), training=training)
        assert result.shape == (6, 8) and result.dtype == tf.float32
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-6)


def test_hidden_layers_have_bias_or_batch_norm_and_the_last_has_neither():
    assert kinds(built_head((16, 8))) == ["Dense", "ReLU", "Dense"]
    assert [layer.use_bias for layer in dense_layers(built_head((16, 8)))] == [True, False]
    assert kinds(built_head((16, 8), batch_norm=True)) == ["Dense", "BatchNormalization", "ReLU", "Dense"]
    assert [layer.use_bias for layer in dense_layers(built_head((16, 8), batch_norm=True))] == [False, False]
    assert kinds(built_head((8,), batch_norm=True)) == ["Dense"]


def test_batch_norm_is_synchronized_on_request():
    for synchronized in (False, True):
        head = built_head((16, 8), batch_norm=True, synchronized_batch_norm=synchronized)
        assert head.stack.get_layer("norm1").synchronized == synchronized


def test_kernels_start_with_the_variance_that_keeps_the_scale():
    head = ProjectionHead((400, 300))
    head.build((None, 200))
    hidden, last = dense_layers(head)
    assert np.std(hidden.kernel) == pytest.approx(np.sqrt(2 / 200), rel=0.02)  # ReLU takes half of it away
    assert np.std(last.kernel) == pytest.approx(np.sqrt(1 / 400), rel=0.02)


def test_weights_follow_from_the_seed_alone():
    one, same, other = (built_head((16, 20, 8), seed=seed).get_weights() for seed in (3, 3, 4))
    for weight, equal, different in zip(one, same, other):
        np.testing.assert_array_equal(weight, equal)
        assert weight.ndim == 1 or np.any(weight != different)
    assert np.any(one[0].ravel()[:100] != one[2].ravel()[:100])


def test_projections_are_float32_unit_vectors_under_mixed_precision(bfloat16):
    head = built_head((16, 8))
    projections = head(random_embeddings())
    assert projections.dtype == tf.float32 and head.stack.layers[0].compute_dtype == "bfloat16"
    np.testing.assert_allclose(np.linalg.norm(projections, axis=-1), 1, rtol=1e-6)


def test_head_of_float32_stays_so_under_mixed_precision(bfloat16):
    head = built_head((16, 8), dtype="float32")
    np.testing.assert_allclose(head(random_embeddings()), numpy_head(head, random_embeddings()), rtol=1e-4, atol=1e-6)


def test_config_makes_the_same_head():
    head = ProjectionHead((16, 8), True, False, True, "pytorch", 3, name="head")
    again = ProjectionHead.from_config(head.get_config())
    assert again.get_config() == head.get_config()
    head.build((None, 20))
    again.build((None, 20))
    for weight, same in zip(head.get_weights(), again.get_weights()):
        np.testing.assert_array_equal(weight, same)


def test_saved_heads_give_the_same_projections(tmp_path):
    inputs = keras.Input([20])
    model = keras.Model(inputs, built_head((16, 8), batch_norm=True)(inputs))
    expected = model(random_embeddings())
    model.save(tmp_path / "head.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "head.keras")(random_embeddings()), expected)
    model.save(tmp_path / "saved_model")
    restored = tf.saved_model.load(str(tmp_path / "saved_model"))
    np.testing.assert_allclose(restored(random_embeddings()), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "initialization, deviations",
    [("tensorflow", (0.01, 0.01)), ("pytorch", (3 * 400, 3 * 300)), ("default", (200, 300))],
)
def test_kernels_start_with_the_given_deviations(initialization, deviations):
    head = ProjectionHead((300, 200), initialization=initialization)
    head.build((None, 400))
    for layer, expected in zip(dense_layers(head), deviations):
        # A number of inputs stands for the deviation that follows from it.
        expected = expected if expected < 1 else expected**-0.5
        assert np.std(layer.kernel) == pytest.approx(expected, rel=0.02)

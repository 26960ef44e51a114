"""The losses of TensorFlow Addons, and the replacements that are taken where it cannot be installed."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf import addons

needs_addons = pytest.mark.skipif(addons.tensorflow_addons() is None, reason="needs TensorFlow Addons")


@needs_addons
def test_addons_come_without_the_notice_of_their_end():
    code = (
        "import warnings; warnings.simplefilter('error', UserWarning)\n"
        "from supcon_tf.addons import tensorflow_addons; assert tensorflow_addons()"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def value_and_gradient(loss, labels, given):
    given = tf.constant(given, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(given)
        value = loss(tf.constant(labels), given)
    return value.numpy(), tape.gradient(value, given).numpy()


def similarities(rng):
    return rng.normal(size=(9, 9))


def rows(rng):
    return rng.normal(size=(9, 4))


@needs_addons
@pytest.mark.parametrize(
    ("name", "make"),
    [("npairs_loss", similarities), ("triplet_hard_loss", rows)],
)
@pytest.mark.parametrize("labels", [[0, 1, 2, 0, 1, 2, 0, 1, 3], [0] * 9, list(range(9))], ids=["some", "one", "all"])
def test_replacements_equal_tensorflow_addons_in_value_and_gradient(name, make, labels):
    given = make(np.random.default_rng(0))
    found = value_and_gradient(getattr(addons, f"{name}_without_addons"), labels, given)
    expected = value_and_gradient(getattr(addons, name), labels, given)
    for one, other in zip(found, expected):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


def test_replacement_of_npairs_is_its_equation():
    labels, given = np.array([0, 1, 0, 2]), np.random.default_rng(1).normal(size=(4, 4))
    log_p = given - np.log(np.exp(given).sum(axis=1, keepdims=True))
    same = labels[:, np.newaxis] == labels
    expected = -np.mean((same * log_p).sum(axis=1) / same.sum(axis=1))
    value, _ = value_and_gradient(addons.npairs_loss_without_addons, labels, given)
    assert value == pytest.approx(expected, rel=1e-5)


def test_replacement_of_the_triplet_loss_is_its_equation():
    labels, given = np.array([0, 1, 0, 1, 1]), np.random.default_rng(2).normal(size=(5, 3))
    distance = np.linalg.norm(given[:, np.newaxis] - given, axis=2)
    same = labels[:, np.newaxis] == labels
    hardest = np.where(same, distance, 0).max(axis=1) - np.where(same, np.inf, distance).min(axis=1)
    value, gradient = value_and_gradient(addons.triplet_hard_loss_without_addons, labels, given)
    assert value == pytest.approx(np.mean(np.log1p(np.exp(hardest))), rel=1e-5)
    assert np.isfinite(gradient).all()


def test_equal_rows_have_a_finite_gradient():
    _, gradient = value_and_gradient(addons.triplet_hard_loss_without_addons, [0, 0, 1], np.ones((3, 2)))
    assert np.isfinite(gradient).all()

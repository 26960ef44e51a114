"""The classifier by L-BFGS, against the conditions of the optimum."""

import numpy as np
import pytest

from supcon_tf.training.logistic_regression import fit_classifier


def gaussians(classes, images=60, dim=5, seed=0):
    """Returns overlapping clusters, so that the optimum is finite."""
    rng = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    return rng.normal(size=(images, dim)) + rng.normal(size=(classes, dim))[labels], labels


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("weight_decay, weighted", [(0.0, False), (0.01, False), (0.01, True)])
def test_the_gradient_of_the_regularised_cross_entropy_is_zero(classes, weight_decay, weighted):
    vectors, labels = gaussians(classes)
    weights = np.linspace(0.2, 1.8, classes) if weighted else np.ones(classes)
    options = {"weight_decay": weight_decay, **({"class_weights": weights} if weighted else {})}
    kernel, bias = (x.astype(np.float64) for x in fit_classifier(vectors, labels, classes, **options))
    logits = vectors @ kernel + bias
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    errors = weights[labels, np.newaxis] * (probabilities - np.eye(classes)[labels]) / len(labels)
    decay = weight_decay or 1 / (10 * len(labels))
    if classes == 2:  # the solver regularises the difference of the two columns, which is twice either
        decay *= 2
    np.testing.assert_allclose(vectors.T @ errors + decay * kernel, 0, atol=2e-4)
    np.testing.assert_allclose(errors.sum(axis=0), 0, atol=2e-4)


def test_a_class_without_images_is_never_the_likeliest():
    vectors, labels = gaussians(3)
    kernel, bias = fit_classifier(vectors, 2 * labels, 5)  # no image of classes 1 and 3
    assert kernel.shape == (5, 5) and kernel.dtype == bias.dtype == np.float32
    assert set(np.argmax(vectors @ kernel + bias, axis=1)) <= {0, 2, 4}


def test_a_single_class_is_always_predicted():
    kernel, bias = fit_classifier(np.ones([4, 3]), np.full(4, 1), 2)
    assert np.argmax(np.ones(3) @ kernel + bias) == 1

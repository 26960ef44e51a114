"""Gaussian blur, against SciPy."""

import numpy as np
import pytest
import scipy.ndimage

from supcon_tf.augment import blur


def random_image(side, channels=3):
    return np.random.default_rng(0).random((side, side, channels)).astype(np.float32)


def scipy_blur(image, sigma, radius):
    """A truncated Gaussian over what lies inside the image, as a ratio of two filters that pad with zeros."""

    def blurred(values):
        return scipy.ndimage.gaussian_filter(values, (sigma, sigma, 0), radius=radius, mode="constant")

    return blurred(image.astype(np.float64)) / blurred(np.ones(image.shape))


@pytest.mark.parametrize("side, radius", [(8, 1), (28, 1), (32, 1), (64, 3), (224, 11)])
@pytest.mark.parametrize("sigma", [0.1, 0.7, 2.0])
def test_blur_agrees_with_scipy(side, radius, sigma):
    image = random_image(side)
    np.testing.assert_allclose(blur.gaussian_blur(image, sigma), scipy_blur(image, sigma, radius), atol=1e-6)


def test_edges_do_not_darken():
    white = np.ones((40, 40, 1), np.float32)
    np.testing.assert_allclose(blur.gaussian_blur(white, 2.0), white, atol=1e-6)


def test_blur_grows_with_sigma():
    image = random_image(64)
    variances = [np.var(blur.gaussian_blur(image, sigma)) for sigma in (0.1, 0.5, 1.0, 2.0)]
    assert all(more > less for more, less in zip(variances, variances[1:]))

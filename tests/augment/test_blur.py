"""Gaussian blur, against SciPy."""

import numpy as np
import pytest
import scipy.ndimage

from supcon_tf.augment import blur


def random_image(side, channels=3):
    return np.random.default_rng(0).uniform(0, 255, (side, side, channels)).astype(np.float32)


def scipy_blur(image, sigma, radius):
    """Applies a truncated Gaussian inside the image, as a ratio of two filters that pad with zeros."""

    def blurred(values):
        return scipy.ndimage.gaussian_filter(values, (sigma, sigma, 0), radius=radius, mode="constant")

    return blurred(image.astype(np.float64)) / blurred(np.ones(image.shape))


@pytest.mark.parametrize("side, radius", [(8, 1), (28, 1), (45, 2), (64, 3), (224, 7)])
@pytest.mark.parametrize("sigma", [0.1, 0.7, 2.0])
def test_blur_agrees_with_scipy(side, radius, sigma):
    image = random_image(side)
    expected = scipy_blur(image, sigma, radius)
    result = blur.gaussian_blur(image, sigma).numpy()
    assert result.dtype == np.uint8
    np.testing.assert_allclose(result, expected, atol=0.501)


def test_a_cut_at_a_twentieth_of_a_large_image_would_be_hardly_another():
    noise = np.random.default_rng(1).choice([0, 255], (224, 224, 1)).astype(np.float64)
    np.testing.assert_allclose(scipy_blur(noise, blur.LARGEST_SIGMA, 7), scipy_blur(noise, 2.0, 11), atol=0.125)


@pytest.mark.parametrize("side", [8, 45, 224])
def test_matrices_for_devices_do_the_same(side):
    image, sigmas = random_image(side), np.array([0.3, 1.9], np.float32)
    for weights, sigma in zip(blur.weights_of_whole_rows(side, sigmas).numpy(), sigmas):
        expected = scipy_blur(image, sigma, blur.radius_of(side))
        result = np.einsum("oi,ijc,pj->opc", weights, image, weights, optimize=True)
        np.testing.assert_allclose(result, expected, atol=1e-3)


def test_edges_do_not_darken():
    white = np.full((40, 40, 1), 255, np.float32)
    np.testing.assert_array_equal(blur.gaussian_blur(white, 2.0), white)

"""Colour operations, against Pillow and against float64 with Python's colorsys."""

import colorsys
import itertools

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from supcon_tf.augment import colour

LUMA = np.array([0.299, 0.587, 0.114])
FACTORS = [0.0, 0.4, 1.0, 1.7]
LEVEL = 1 / 255


def random_image(channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (9, 11, channels), dtype=np.uint8)


def as_float(image):
    return (image / 255).astype(np.float32)


def reference_hue(image, turns):
    def shift(pixel):
        h, s, v = colorsys.rgb_to_hsv(*pixel)
        return colorsys.hsv_to_rgb((h + turns) % 1.0, s, v)

    return np.apply_along_axis(shift, -1, image.astype(np.float64))


def reference_blend(start, image, factor):
    return np.clip((1 - factor) * start + factor * image, 0, 1)


REFERENCES = [
    lambda image, factor: np.clip(image * factor, 0, 1),
    lambda image, factor: reference_blend(np.mean(image @ LUMA), image, factor),
    lambda image, factor: reference_blend((image @ LUMA)[..., np.newaxis], image, factor),
    reference_hue,
]


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize(
    "operation, enhance, tolerance",
    [
        (colour.brightness, ImageEnhance.Brightness, 1.01),
        (colour.contrast, ImageEnhance.Contrast, 1.51),  # Pillow rounds the mean and truncates the result
        (colour.saturation, ImageEnhance.Color, 2.01),  # Pillow rounds the grey image and truncates the result
    ],
)
def test_operation_agrees_with_pillow(operation, enhance, tolerance, factor):
    image = random_image()
    expected = np.asarray(enhance(Image.fromarray(image)).enhance(factor)) / 255
    np.testing.assert_allclose(operation(as_float(image), factor), expected, atol=tolerance * LEVEL)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("index", [0, 1, 2])
def test_operation_agrees_with_float64(index, factor):
    image = as_float(random_image(seed=1))
    operation = [colour.brightness, colour.contrast, colour.saturation][index]
    np.testing.assert_allclose(operation(image, factor), REFERENCES[index](image, factor), atol=1e-6)


@pytest.mark.parametrize("turns", [-0.25, -0.1, 0.0, 0.03, 0.25])
def test_hue_agrees_with_colorsys(turns):
    image = as_float(random_image(seed=2))
    image[0] = image[0, :, :1]  # a row without colour
    np.testing.assert_allclose(colour.hue(image, turns), reference_hue(image, turns), atol=1e-5)


def test_grey_agrees_with_pillow():
    image = random_image(seed=3)
    expected = np.asarray(Image.fromarray(image).convert("L"))[..., np.newaxis] / 255
    np.testing.assert_allclose(colour.grey(as_float(image)), np.repeat(expected, 3, axis=-1), atol=LEVEL)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::5])
def test_jitter_applies_the_operations_in_the_given_order_and_clips_after_each(order):
    image = as_float(random_image(seed=4))
    amounts = [1.6, 1.5, 1.8, -0.15]
    expected = image.astype(np.float64)
    for index in order:
        expected = REFERENCES[index](expected, amounts[index])
    np.testing.assert_allclose(colour.jitter(image, amounts, order), expected, atol=2e-5)


def test_order_matters():
    image = as_float(random_image(seed=5))
    amounts = [1.6, 1.5, 1.8, -0.15]
    one, other = (colour.jitter(image, amounts, order).numpy() for order in ([0, 1, 2, 3], [3, 2, 1, 0]))
    assert np.abs(one - other).max() > 0.05


def test_of_one_channel_only_brightness_and_contrast_change():
    image = as_float(random_image(channels=1))
    for unchanged in (colour.grey(image), colour.saturation(image, 0.3), colour.hue(image, 0.2)):
        np.testing.assert_array_equal(unchanged, image)
    expected = reference_blend(np.mean(np.clip(image * 1.3, 0, 1)), np.clip(image * 1.3, 0, 1), 0.6)
    np.testing.assert_allclose(colour.jitter(image, [1.3, 0.6, 0.1, 0.2], [0, 1, 2, 3]), expected, atol=1e-6)

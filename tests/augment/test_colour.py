"""Colour operations, against Pillow and against float64 with Python's colorsys."""

import colorsys
import itertools

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from supcon_tf.augment import colour
from supcon_tf.config import JITTER_STYLES

LUMA = np.array([0.299, 0.587, 0.114])
FACTORS = [0.0, 0.4, 1.0, 1.7]


def random_image(channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (9, 11, channels), dtype=np.uint8)


def as_float(image):
    return image.astype(np.float32)


def reference_hue(image, turns):
    def shift(pixel):
        h, s, v = colorsys.rgb_to_hsv(*pixel)
        return colorsys.hsv_to_rgb((h + turns) % 1.0, s, v)

    return 255 * np.apply_along_axis(shift, -1, np.float64(image) / 255)


def reference_hsv_saturation(image, factor):
    def change(pixel):
        h, s, v = colorsys.rgb_to_hsv(*pixel)
        return colorsys.hsv_to_rgb(h, min(s * factor, 1), v)

    return 255 * np.apply_along_axis(change, -1, np.float64(image) / 255)


def reference_blend(start, image, factor):
    return np.clip((1 - factor) * start + factor * image, 0, 255)


REFERENCES = {
    "torchvision": [
        lambda image, factor: np.clip(image * factor, 0, 255),
        lambda image, factor: reference_blend(np.mean(image @ LUMA), image, factor),
        lambda image, factor: reference_blend((image @ LUMA)[..., np.newaxis], image, factor),
        reference_hue,
    ],
    "tensorflow": [
        lambda image, share: np.clip(image + 255 * share, 0, 255),
        lambda image, factor: reference_blend(np.mean(image, axis=(0, 1)), image, factor),
        reference_hsv_saturation,
        reference_hue,
    ],
}
# What takes the operations beyond the range of pixels, so that each has to clip.
AMOUNTS = {"torchvision": [1.6, 1.5, 1.8, -0.15], "tensorflow": [0.3, 1.5, 1.8, -0.15]}


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
    expected = np.asarray(enhance(Image.fromarray(image)).enhance(factor))
    np.testing.assert_allclose(operation(as_float(image), factor), expected, atol=tolerance)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("style", colour.STYLES)
def test_operation_agrees_with_float64(style, index, factor):
    image = as_float(random_image(seed=1))
    amount = factor - 1 if (style, index) == ("tensorflow", 0) else factor
    expected = REFERENCES[style][index](image, amount)
    np.testing.assert_allclose(colour.STYLES[style][index](image, amount), expected, atol=1e-3)


@pytest.mark.parametrize("turns", [-0.25, -0.1, 0.0, 0.03, 0.25])
def test_hue_agrees_with_colorsys(turns):
    image = as_float(random_image(seed=2))
    image[0] = image[0, :, :1]  # a row without colour
    np.testing.assert_allclose(colour.hue(image, turns), reference_hue(image, turns), atol=2e-3)


def test_grey_agrees_with_pillow():
    image = random_image(seed=3)
    expected = np.asarray(Image.fromarray(image).convert("L"))[..., np.newaxis]
    np.testing.assert_allclose(colour.grey(as_float(image)), np.repeat(expected, 3, axis=-1), atol=1)


@pytest.mark.parametrize("order", range(0, 24, 5))
@pytest.mark.parametrize("style", colour.STYLES)
def test_jitter_applies_the_operations_in_the_given_order_and_clips_after_each(style, order):
    image = as_float(random_image(seed=4))
    expected = image.astype(np.float64)
    for index in list(itertools.permutations(range(4)))[order]:
        expected = REFERENCES[style][index](expected, AMOUNTS[style][index])
    np.testing.assert_allclose(colour.jitter(image, AMOUNTS[style], order, style), expected, atol=5e-3)


def test_order_matters():
    image = as_float(random_image(seed=5))
    one, other = (colour.jitter(image, AMOUNTS["torchvision"], order).numpy() for order in (0, 23))
    assert np.abs(one - other).max() > 10


@pytest.mark.parametrize("style", colour.STYLES)
def test_of_one_channel_only_brightness_and_contrast_change(style):
    image = as_float(random_image(channels=1))
    unchanged = [operation(image, 0.2) for operation in colour.STYLES[style][2:]]
    for result in (colour.grey(image), *unchanged):
        np.testing.assert_array_equal(result, image)
    brightness, contrast = AMOUNTS[style][:2]
    brighter = np.clip(image * brightness if style == "torchvision" else image + 255 * brightness, 0, 255)
    expected = reference_blend(np.mean(brighter), brighter, contrast)
    np.testing.assert_allclose(colour.jitter(image, AMOUNTS[style], 0, style), expected, atol=1e-3)


def test_the_styles_are_the_choices_of_the_config():
    assert tuple(colour.STYLES) == JITTER_STYLES

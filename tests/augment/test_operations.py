"""The operations of AutoAugment and RandAugment, against Pillow."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps
from sklearn.datasets import load_sample_images

from supcon_tf.augment import operations

NEAREST = Image.Resampling.NEAREST


def noise(height, width, channels=3, low=0, high=256):
    return np.random.default_rng(height).integers(low, high, (height, width, channels), dtype=np.uint8)


def gradient(height, width, slopes=(1.0, 0.7, 1.6)):
    places = np.add.outer(np.arange(height), np.arange(width))
    return (places[..., np.newaxis] * np.array(slopes)).clip(0, 255).astype(np.uint8)


def images():
    """Returns images square and oblong, with even and odd numbers of values, some with one or two rows or columns."""
    photo = load_sample_images().images[1]
    return {
        "photo": np.ascontiguousarray(photo[100:212, 200:360]),
        "photo of one channel": np.ascontiguousarray(photo[150:251, 100:199, 1:2]),
        "noise": noise(37, 53),
        "noise of one channel": noise(32, 32, 1),
        "noise of little contrast": noise(31, 33, low=90, high=140),
        "gradient": gradient(60, 90),
        "steep gradient": gradient(64, 64, slopes=(2.0, 3.1, 0.1)),
        "even": np.full((20, 30, 3), 77, np.uint8),
        "two levels": np.where(noise(24, 25) < 200, 3, 250).astype(np.uint8),
        "one row": noise(1, 9),
        "one column": noise(8, 1),
        "two rows": noise(2, 7),
        "two columns": noise(5, 2, 1),
        "one pixel": noise(1, 1),
    }


def to_pillow(image):
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def affine(picture, matrix):
    grey = 128 if picture.mode == "L" else (128, 128, 128)
    return picture.transform(picture.size, Image.Transform.AFFINE, matrix, NEAREST, fillcolor=grey)


def rotate(picture, degrees):
    return picture.rotate(degrees, NEAREST, fillcolor=128 if picture.mode == "L" else (128, 128, 128))


BITS = range(9)
THRESHOLDS = [0, 1, 25, 128, 230, 255, 256]
FACTORS = [0.0, 0.1, 0.28, 0.5, 0.82, 1.0, 1.2, 1.9]
DEGREES = [-30, -27, -7.3, 0, 0.5, 6, 15, 30, 90, 180, 270]
SHEARS = [-0.3, -0.12, -0.03, 0, 0.09, 0.2, 0.21, 0.3]
SHIFTS = [-300, -14.3, -10.5, -0.5, 0, 0.4, 0.5, 9.5, 14.7, 31, 1000]

CASES = {
    "equalize": ([()], ImageOps.equalize),
    "invert": ([()], ImageOps.invert),
    "posterize": ([(bits,) for bits in BITS], ImageOps.posterize),
    "solarize": ([(threshold,) for threshold in THRESHOLDS], ImageOps.solarize),
    "color": ([(factor,) for factor in FACTORS], lambda p, f: ImageEnhance.Color(p).enhance(f)),
    "contrast": ([(factor,) for factor in FACTORS], lambda p, f: ImageEnhance.Contrast(p).enhance(f)),
    "brightness": ([(factor,) for factor in FACTORS], lambda p, f: ImageEnhance.Brightness(p).enhance(f)),
    "sharpness": ([(factor,) for factor in FACTORS], lambda p, f: ImageEnhance.Sharpness(p).enhance(f)),
    "rotate": ([(degrees,) for degrees in DEGREES], rotate),
    "shear_x": ([(factor,) for factor in SHEARS], lambda p, f: affine(p, (1, f, 0, 0, 1, 0))),
    "shear_y": ([(factor,) for factor in SHEARS], lambda p, f: affine(p, (1, 0, 0, f, 1, 0))),
    "translate_x": ([(pixels,) for pixels in SHIFTS], lambda p, t: affine(p, (1, 0, t, 0, 1, 0))),
    "translate_y": ([(pixels,) for pixels in SHIFTS], lambda p, t: affine(p, (1, 0, 0, 0, 1, t))),
}


@pytest.mark.parametrize("name", CASES)
def test_operation_equals_pillow(name):
    cases, reference = CASES[name]
    changed = 0
    for title, image in images().items():
        for numbers in cases:
            arguments = [np.float32(number) for number in numbers]
            result = getattr(operations, name)(tf.constant(image), *arguments).numpy()
            expected = np.asarray(reference(to_pillow(image), *[type(n)(a) for n, a in zip(numbers, arguments)]))
            assert result.dtype == np.uint8 and result.shape == image.shape
            np.testing.assert_array_equal(result, expected.reshape(image.shape), err_msg=f"{title}, {numbers}")
            changed += np.any(result != image)
    assert changed > len(cases)


def test_autocontrast_is_exact_and_at_most_one_level_above_pillow():
    for title, image in images().items():
        result = operations.autocontrast(tf.constant(image)).numpy().astype(int)
        darkest, lightest = image.min(axis=(0, 1)).astype(int), image.max(axis=(0, 1)).astype(int)
        stretched = (image - darkest) * 255 // np.maximum(lightest - darkest, 1)
        np.testing.assert_array_equal(result, np.where(lightest > darkest, stretched, image), err_msg=title)
        above = result - np.asarray(ImageOps.autocontrast(to_pillow(image))).reshape(image.shape)
        assert set(np.unique(above)) <= {0, 1}, title


def test_autocontrast_is_exact_for_all_ranges_of_levels():
    # 64 ranges at once, as one channel each.
    levels = np.arange(256)
    for darkest in range(0, 255, 5):
        lightest = np.linspace(darkest + 1, 255, 64).astype(int)
        image = np.clip(levels[:, np.newaxis], darkest, lightest)[np.newaxis].astype(np.uint8)
        expected = (image.astype(int) - darkest) * 255 // (lightest - darkest)
        np.testing.assert_array_equal(operations.autocontrast(tf.constant(image)), expected)


def test_rotation_is_anticlockwise_and_shears_and_translations_move_left_and_up():
    image = np.zeros((9, 9, 1), np.uint8)
    image[4, 7] = 255

    def place(result):
        return np.argwhere(result.numpy()[..., 0] == 255).tolist()

    assert place(operations.rotate(image, 90.0)) == [[1, 4]]
    assert place(operations.shear_x(image, 0.5)) == [[4, 5]]
    assert place(operations.shear_y(image, 0.25)) == [[2, 7]]
    assert place(operations.translate_x(image, 3.0)) == [[4, 4]]
    assert place(operations.translate_y(image, 3.0)) == [[1, 7]]


@pytest.mark.parametrize("addition", [0, 33, 110, 127, 200, 255])
def test_solarize_add_lightens_dark_pixels_and_no_others(addition):
    for image in images().values():
        expected = np.where(image < 128, np.minimum(image.astype(int) + addition, 255), image)
        np.testing.assert_array_equal(operations.solarize_add(tf.constant(image), addition), expected)


@pytest.mark.parametrize("half_side", [0, 1, 4, 10, 100])
@pytest.mark.parametrize("row, column", [(0, 0), (5, 11), (15, 3), (19, 29)])
def test_cutout_is_a_grey_square_inside_the_image(half_side, row, column):
    for channels in (1, 3):
        image = noise(20, 30, channels)
        expected = image.copy()
        expected[max(row - half_side, 0) : row + half_side, max(column - half_side, 0) : column + half_side] = 128
        np.testing.assert_array_equal(operations.cutout(image, half_side, row, column), expected)


def test_mean_grey_of_a_large_image_is_exact():
    image = np.full((1000, 1000, 1), 127, np.uint8)
    image[500:] = 128
    image[0, 0] = 126  # the mean is just under 127.5, the sum beyond what float32 counts
    expected = np.asarray(ImageEnhance.Contrast(to_pillow(image)).enhance(0.0))
    assert np.all(expected == 127)
    np.testing.assert_array_equal(operations.contrast(tf.constant(image), 0.0)[..., 0], expected)

"""RandAugment: the operations that it draws, their levels, and the result."""

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.augment import operations
from supcon_tf.augment.randaugment import UNIFORMS_PER_LAYER, draw_operation, randaugment

NAMES = [
    *("AutoContrast", "Equalize", "Invert", "Rotate", "Posterize", "Solarize", "Color", "Contrast"),
    *("Brightness", "Sharpness", "ShearX", "ShearY", "TranslateX", "TranslateY", "Cutout", "SolarizeAdd"),
]
AT_10 = [0, 0, 0, 30, 4, 256, 1.9, 1.9, 1.9, 1.9, 0.3, 0.3, 100, 100, 40, 110]
AT_5 = [0, 0, 0, 15, 2, 128, 1.0, 1.0, 1.0, 1.0, 0.15, 0.15, 50, 50, 20, 55]


def random_image(size=32, channels=3):
    return np.random.default_rng(0).integers(0, 256, (size, size, channels), dtype=np.uint8)


def layer(name, sign=0.0, row=0.5, column=0.5):
    return [(NAMES.index(name) + 0.5) / 16, sign, row, column]


@pytest.mark.parametrize("magnitude, arguments", [(10, AT_10), (5, AT_5)])
def test_each_of_the_sixteen_operations_has_its_argument_and_a_sixteenth_of_the_draws(magnitude, arguments):
    for number, expected in enumerate(arguments):
        for uniform in (number / 16, (number + 0.999) / 16):
            index, argument = draw_operation(tf.constant(uniform), magnitude)
            assert index == number and argument.numpy() == pytest.approx(expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_layers_are_applied_one_after_the_other(channels):
    image = random_image(channels=channels)

    def result(*layers):
        uniforms = tf.constant([number for row in layers for number in row], tf.float32)
        return randaugment(tf.constant(image), uniforms, len(layers), 10).numpy()

    np.testing.assert_array_equal(result(layer("Invert")), 255 - image)
    np.testing.assert_array_equal(result(layer("Invert"), layer("Invert")), image)
    np.testing.assert_array_equal(result(layer("Solarize")), image)  # no level reaches the threshold 256
    np.testing.assert_array_equal(
        result(layer("Rotate", 0.8), layer("Posterize")), operations.posterize(operations.rotate(image, -30.0), 4)
    )
    np.testing.assert_array_equal(
        result(layer("SolarizeAdd"), layer("TranslateY", 0.1), layer("Cutout", 0.0, 0.25, 0.75)),
        operations.cutout(operations.translate_y(operations.solarize_add(image, 110), 100 / 7), 5, 8, 24),
    )


@pytest.mark.parametrize("magnitude", [-1, 10.5])
def test_a_magnitude_beyond_the_levels_is_refused(magnitude):
    with pytest.raises(ValueError, match="between 0 and 10"):
        randaugment(random_image(), tf.zeros([UNIFORMS_PER_LAYER]), 1, magnitude)


def test_images_of_unknown_size_give_the_same_in_a_dataset():
    images = [random_image(24), random_image(37)[:, :20]]
    uniforms = np.random.default_rng(3).random((30, 2 * UNIFORMS_PER_LAYER), dtype=np.float32)
    dataset = tf.data.Dataset.from_generator(
        lambda: ((image, numbers) for image in images for numbers in uniforms),
        output_signature=(tf.TensorSpec([None, None, 3], tf.uint8), tf.TensorSpec([2 * UNIFORMS_PER_LAYER])),
    ).map(lambda image, numbers: (image, numbers, randaugment(image, numbers, 2, 10)))
    assert dataset.element_spec[2] == tf.TensorSpec([None, None, 3], tf.uint8)
    changed = 0
    for image, numbers, result in dataset.as_numpy_iterator():
        np.testing.assert_array_equal(result, randaugment(tf.constant(image), tf.constant(numbers), 2, 10))
        changed += np.any(result != image)
    assert changed > 40

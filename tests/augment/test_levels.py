"""Arguments of levels, and operations chosen at run time."""

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.augment import levels, operations

HALF = [0.0, 0.5, 0.5]  # no change of sign, cut-outs in the middle


def random_image(height=30, width=40, channels=3):
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def apply(image, name, argument, uniforms=HALF):
    index = tf.constant(levels.OPERATIONS.index(name))
    return levels.apply(tf.constant(image), index, tf.constant(float(argument)), tf.constant(uniforms)).numpy()


@pytest.mark.parametrize(
    "name, at_level_3, at_level_10",
    [
        ("AutoContrast", 0, 0),
        ("Equalize", 0, 0),
        ("Invert", 0, 0),
        ("Rotate", 9, 30),
        ("Posterize", 1, 4),
        ("Solarize", 76, 256),
        ("SolarizeAdd", 33, 110),
        ("Color", 0.64, 1.9),
        ("Contrast", 0.64, 1.9),
        ("Brightness", 0.64, 1.9),
        ("Sharpness", 0.64, 1.9),
        ("ShearX", 0.09, 0.3),
        ("ShearY", 0.09, 0.3),
        ("TranslateX", 75, 250),
        ("TranslateY", 75, 250),
        ("Cutout", 12, 40),
    ],
)
def test_arguments_are_those_of_the_authors(name, at_level_3, at_level_10):
    assert name in levels.OPERATIONS
    assert levels.argument_at(name, 3, translate=250, cutout=40) == pytest.approx(at_level_3)
    assert levels.argument_at(name, 10, translate=250, cutout=40) == pytest.approx(at_level_10)


def test_posterize_leaves_at_least_one_bit():
    bits = [levels.argument_at("Posterize", level) for level in range(11)]
    assert bits == [1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4]


def test_solarize_thresholds_and_additions_are_whole():
    assert [levels.argument_at("Solarize", level) for level in range(11)] == [
        *(0, 25, 51, 76, 102, 128, 153, 179, 204, 230, 256)
    ]
    assert [levels.argument_at("SolarizeAdd", level) for level in (1, 5, 9)] == [11, 55, 99]


def by_name(image, name, argument):
    """Calls an operation with its argument directly; lengths are for 224 pixels."""
    height, width = image.shape[:2]
    image = tf.constant(image)
    share = argument / 224
    calls = {
        "AutoContrast": lambda: operations.autocontrast(image),
        "Equalize": lambda: operations.equalize(image),
        "Invert": lambda: operations.invert(image),
        "Rotate": lambda: operations.rotate(image, argument),
        "Posterize": lambda: operations.posterize(image, int(argument)),
        "Solarize": lambda: operations.solarize(image, int(argument)),
        "SolarizeAdd": lambda: operations.solarize_add(image, int(argument)),
        "Color": lambda: operations.color(image, argument),
        "Contrast": lambda: operations.contrast(image, argument),
        "Brightness": lambda: operations.brightness(image, argument),
        "Sharpness": lambda: operations.sharpness(image, argument),
        "ShearX": lambda: operations.shear_x(image, argument),
        "ShearY": lambda: operations.shear_y(image, argument),
        "TranslateX": lambda: operations.translate_x(image, share * width),
        "TranslateY": lambda: operations.translate_y(image, share * height),
        "Cutout": lambda: operations.cutout(image, int(share * min(height, width)), height // 2, width // 2),
    }
    return calls[name]().numpy()


ARGUMENTS = {
    **{"AutoContrast": 0, "Equalize": 0, "Invert": 0, "Rotate": 20, "Posterize": 2, "Solarize": 100},
    **{"SolarizeAdd": 60, "Color": 0.3, "Contrast": 0.4, "Brightness": 1.4, "Sharpness": 1.8, "ShearX": 0.2},
    **{"ShearY": 0.25, "TranslateX": 60, "TranslateY": 70, "Cutout": 80},
}


@pytest.mark.parametrize("channels", [1, 3])
def test_each_index_is_its_operation(channels):
    image = random_image(channels=channels)
    results = [apply(image, name, ARGUMENTS[name]) for name in levels.OPERATIONS]
    for name, result in zip(levels.OPERATIONS, results):
        np.testing.assert_array_equal(result, by_name(image, name, ARGUMENTS[name]), err_msg=name)
    different = {result.tobytes() for result in results} - {image.tobytes()}
    assert len(different) >= 16 - (channels == 1) - 1  # noise already has full contrast


def test_nothing_changes_nothing():
    image = random_image()
    index = tf.constant(levels.NOTHING)
    np.testing.assert_array_equal(levels.apply(tf.constant(image), index, tf.constant(1.0), tf.constant(HALF)), image)


def test_signs_turn_only_what_has_a_direction():
    image = random_image(height=40, width=30)
    for name in levels.OPERATIONS:
        argument = ARGUMENTS[name]
        signed = name in ("Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY")
        for uniform, sign in [(0.0, 1), (0.499, 1), (0.5, -1), (0.999, -1)]:
            expected = by_name(image, name, sign * argument if signed else argument)
            np.testing.assert_array_equal(apply(image, name, argument, [uniform, 0.5, 0.5]), expected, err_msg=name)


def test_lengths_are_in_pixels_at_224_and_the_same_share_of_other_sizes():
    for size, pixels in [(224, 84), (448, 168), (32, 12)]:
        image = np.random.default_rng(1).integers(130, 256, (size, size, 1), dtype=np.uint8)  # nothing is grey
        assert np.all(apply(image, "TranslateX", 84) == 128, axis=(0, 2)).sum() == pixels
        assert np.all(apply(image, "TranslateY", 84) == 128, axis=(1, 2)).sum() == pixels
        assert (apply(image, "Cutout", 42) == 128).sum() == pixels**2


def test_cut_outs_are_centred_anywhere():
    image = np.zeros((30, 40, 1), np.uint8)
    centres = {
        tuple(np.argwhere(apply(image, "Cutout", 224 / 30, [0, u, v])[..., 0])[-1])
        for u, v in np.random.default_rng(2).random((150, 2), dtype=np.float32)
    }
    rows, columns = np.array(sorted(centres)).T
    assert rows.min() == 0 and rows.max() <= 29 and columns.min() <= 1 and columns.max() <= 39
    assert np.unique(rows).size > 25 and np.unique(columns).size > 30


def test_a_choice_is_even_and_never_out_of_range():
    just_under_one = np.nextafter(np.float32(1), np.float32(0))
    for number in (3, 16, 25, 224):
        assert levels.choice(tf.constant(just_under_one), number) == number - 1
        assert levels.choice(tf.constant(0.0), number) == 0
        counts = np.bincount(levels.choice(tf.range(0, 1, 1 / 5040), number)[:5040])
        assert counts.min() >= 5040 // number - 1 and counts.max() <= 5040 // number + 2 and len(counts) == number

"""AutoAugment: its tables, the frequency of each step, and the result."""

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.augment import autoaugment, levels, operations

# Two letters per operation, its probability and, behind the stroke, its level.
V0 = """
Eq.8/1 Sy.8/4; Co.4/9 Eq.6/3; Co.4/1 Ro.6/8; So.8/3 Eq.4/7; So.4/2 So.6/2; Co.2/0 Eq.8/8; Eq.4/8 SA.8/3; Sx.2/9 Ro.6/8;
Co.6/1 Eq1/2; In.4/9 Ro.6/0; Eq1/9 Sy.6/3; Co.4/7 Eq.6/0; Po.4/6 AC.4/7; So.6/8 Co.6/9; So.2/4 Ro.8/9; Ro1/7 Ty.8/9;
Sx0/0 So.8/4; Sy.8/0 Co.6/4; Co1/0 Ro.6/2; Eq.8/4 Eq0/8; Eq1/4 AC.6/2; Sy.4/7 SA.6/7; Po.8/2 So.6/10; So.6/8 Eq.6/1;
Co.8/6 Ro.4/5
"""
IMAGENET = """
Po.4/8 Ro.6/9; So.6/5 AC.6; Eq.8 Eq.6; Po.6/7 Po.6/6; Eq.4 So.2/4; Eq.4 Ro.8/8; So.6/3 Eq.6; Po.8/5 Eq1; Ro.2/3 So.6/8;
Eq.6 Po.4/6; Ro.8/8 Co.4/0; Ro.4/9 Eq.6; Eq0 Eq.8; In.6 Eq1; Co.6/4 Cn1/8; Ro.8/8 Co1/2; Co.8/8 So.8/7; Sh.4/7 In.6;
Sx.6/5 Eq1; Co.4/0 Eq.6; Eq.4 So.2/4; So.6/5 AC.6; In.6 Eq1; Co.6/4 Cn1/8; Eq.8 Eq.6
"""
CIFAR10 = """
In.1 Cn.2/6; Ro.7/2 Tx.3/9; Sh.8/1 Sh.9/3; Sy.5/8 Ty.7/9; AC.5 Eq.9; Sy.2/7 Po.3/7; Co.4/3 Br.6/7; Sh.3/9 Br.7/9;
Eq.6 Eq.5; Cn.6/7 Sh.6/5; Co.7/7 Tx.5/8; Eq.3 AC.4; Ty.4/3 Sh.2/6; Br.9/6 Co.2/8; So.5/2 In0; Eq.2 AC.6; Eq.2 Eq.6;
Co.9/9 Eq.6; AC.8 So.2/8; Br.1/3 Co.7/0; So.4/5 AC.9; Ty.9/9 Ty.7/9; AC.9 So.8/3; Eq.8 In.1; Ty.7/9 AC.9
"""
TABLES = {"autoaugment": V0, "autoaugment_imagenet": IMAGENET, "autoaugment_cifar10": CIFAR10}
NAMES = {
    **{"AC": "AutoContrast", "Eq": "Equalize", "In": "Invert", "Ro": "Rotate", "Po": "Posterize", "So": "Solarize"},
    **{"SA": "SolarizeAdd", "Co": "Color", "Cn": "Contrast", "Br": "Brightness", "Sh": "Sharpness", "Sx": "ShearX"},
    **{"Sy": "ShearY", "Tx": "TranslateX", "Ty": "TranslateY"},
}
INDICES = {name: levels.OPERATIONS.index(name) for name in NAMES.values()}


def table(policy):
    """Returns pairs of (operation, probability, level)."""

    def step(text):
        probability, _, level = text[2:].partition("/")
        return NAMES[text[:2]], float(probability), int(level) if level else None

    return [tuple(step(text) for text in pair.split()) for pair in TABLES[policy].split(";")]


def random_image(size=32, channels=3):
    return np.random.default_rng(0).integers(0, 256, (size, size, channels), dtype=np.uint8)


def drawn(policy, number=20_000):
    """Returns indices and arguments, `[number, 2]` each."""
    uniforms = tf.random.stateless_uniform([number, 3], seed=(1, 2))
    chosen = autoaugment.POLICIES[policy]
    indices, arguments = tf.vectorized_map(lambda u: autoaugment.draw_pair(u[0], u[1:], chosen), uniforms)
    return indices.numpy(), arguments.numpy()


@pytest.mark.parametrize("policy", TABLES)
def test_tables_are_those_of_the_authors(policy):
    assert len(table(policy)) == 25
    assert [tuple(map(tuple, pair)) for pair in autoaugment.POLICIES[policy].pairs] == table(policy)


def test_policies_are_those_tested_here():
    assert autoaugment.POLICIES.keys() == TABLES.keys()


def test_translations_are_those_of_the_authors():
    assert autoaugment.V0.argument_at("TranslateX", 10) == 250
    for policy in (autoaugment.IMAGENET, autoaugment.CIFAR10):
        assert policy.argument_at("TranslateY", 10) * 331 / 224 == pytest.approx(150)


def test_published_tables_have_the_published_ranges():
    for policy in (autoaugment.IMAGENET, autoaugment.CIFAR10):
        bits = [policy.argument_at("Posterize", level) for level in range(10)]
        # torchvision: 8 - (torch.arange(10) / (9 / 4)).round().int()
        assert bits == [8, 8, 7, 7, 6, 6, 5, 5, 4, 4]
        # The authors' code for CIFAR-10: 256 - int(level * 256 / 10).
        thresholds = [policy.argument_at("Solarize", level) for level in range(11)]
        assert thresholds == [256, 231, 205, 180, 154, 128, 103, 77, 52, 26, 0]
        # torchvision has torch.linspace(255.0, 0.0, 10).
        np.testing.assert_allclose(thresholds[:10], np.linspace(255, 0, 10), atol=26)
        assert policy.argument_at("Color", 5) == levels.argument_at("Color", 5)


@pytest.mark.parametrize("policy", TABLES)
def test_steps_are_as_frequent_as_the_table_says(policy):
    indices, _ = drawn(policy)
    for place in (0, 1):
        expected = np.zeros(levels.NOTHING + 1)
        for pair in table(policy):
            name, probability, _ = pair[place]
            expected[INDICES[name]] += probability / 25
            expected[levels.NOTHING] += (1 - probability) / 25
        frequencies = np.bincount(indices[:, place], minlength=len(expected)) / len(indices)
        np.testing.assert_allclose(frequencies, expected, atol=0.015)
        assert np.all((frequencies > 0) == (expected > 0))


@pytest.mark.parametrize("policy", TABLES)
def test_each_pair_is_drawn_whole_and_as_often_as_any_other(policy):
    for number, pair in enumerate(table(policy)):
        for uniform in ((number + 0.02) / 25, (number + 0.98) / 25):
            # A step is applied if its number is under its probability.
            for change in (-1e-4, 1e-4):
                for_steps = [probability + change for _, probability, _ in pair]
                indices, arguments = autoaugment.draw_pair(
                    tf.constant(uniform), tf.constant(for_steps), autoaugment.POLICIES[policy]
                )
                for index, argument, (name, _, level) in zip(indices.numpy(), arguments.numpy(), pair):
                    assert index == (INDICES[name] if change < 0 else levels.NOTHING)
                    if level is not None:
                        assert argument == pytest.approx(autoaugment.POLICIES[policy].argument_at(name, level))


def uniforms_for(pair, applied, signs):
    """The first number draws the pair. Each step has four more: applied or not, sign, and two that are unused."""
    steps = [[0.0 if apply else 0.9999, sign, 0.5, 0.5] for apply, sign in zip(applied, signs)]
    return tf.constant([(pair + 0.5) / 25, *steps[0], *steps[1]], tf.float32)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_chosen_operations_are_applied_in_order_and_no_other(channels):
    image = random_image(channels=channels)

    def result(pair, applied, signs=(0.0, 0.0), policy="autoaugment"):
        return autoaugment.autoaugment(tf.constant(image), uniforms_for(pair, applied, signs), policy).numpy()

    sheared = operations.shear_y(image, 0.12)
    np.testing.assert_array_equal(result(0, (False, False)), image)
    np.testing.assert_array_equal(result(0, (True, False)), operations.equalize(image))
    np.testing.assert_array_equal(result(0, (False, True)), sheared)
    np.testing.assert_array_equal(result(0, (True, True)), operations.shear_y(operations.equalize(image), 0.12))
    np.testing.assert_array_equal(result(0, (False, True), (0.0, 0.7)), operations.shear_y(image, -0.12))
    np.testing.assert_array_equal(
        result(21, (True, True), (0.7, 0.0)), operations.solarize_add(operations.shear_y(image, -0.21), 77)
    )
    np.testing.assert_array_equal(
        result(24, (True, True), (0.0, 0.7)), operations.rotate(operations.color(image, 1.18), -15.0)
    )
    np.testing.assert_array_equal(
        result(1, (True, True), (0.9, 0.3), "autoaugment_cifar10"),
        operations.translate_x(operations.rotate(image, -6.0), 0.9 * 150 / 331 * 32),
    )
    np.testing.assert_array_equal(
        result(3, (True, True), policy="autoaugment_imagenet"),
        operations.posterize(image, 5),
    )


@pytest.mark.parametrize("channels", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_images_of_unknown_size_give_the_same_in_a_dataset(channels):
    images = [random_image(24, channels), random_image(37, channels)[:, :20]]
    uniforms = np.random.default_rng(3).random((30, autoaugment.UNIFORMS), dtype=np.float32)
    dataset = tf.data.Dataset.from_generator(
        lambda: ((image, numbers) for image in images for numbers in uniforms),
        output_signature=(tf.TensorSpec([None, None, channels], tf.uint8), tf.TensorSpec([autoaugment.UNIFORMS])),
    ).map(lambda image, numbers: (image, numbers, autoaugment.autoaugment(image, numbers, "autoaugment")))
    assert dataset.element_spec[2] == tf.TensorSpec([None, None, channels], tf.uint8)
    changed = 0
    for image, numbers, result in dataset.as_numpy_iterator():
        np.testing.assert_array_equal(
            result, autoaugment.autoaugment(tf.constant(image), tf.constant(numbers), "autoaugment")
        )
        changed += np.any(result != image)
    assert changed > 20

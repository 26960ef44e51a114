"""Views of an image: policies, determinism, shapes and types."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.augment import augmented_views, blur, colour, evaluation_view, geometry, views
from supcon_tf.config import POLICIES, AugmentOptions

SEED = (3, 4)


def random_image(height=40, width=50, channels=3):
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def make_views(image, seed=SEED, num_views=2, image_size=24, flip=True, **options):
    options = dataclasses.replace(AugmentOptions(), **options)
    result = augmented_views(image, seed, num_views=num_views, image_size=image_size, options=options, flip=flip)
    return result.numpy()


def parameters_of_many_views(number=4000, flip=True, **options):
    options = dataclasses.replace(AugmentOptions(), **options)
    drawn = views.draw_parameters(tf.constant(random_image()), SEED, number, options, flip)
    return views.ViewParameters(*map(np.stack, zip(*drawn)))


def test_the_policies_are_those_of_the_command_line():
    assert (*views.POLICIES, "none") == POLICIES


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("policy", POLICIES)
def test_views_have_their_shape_and_type(policy, channels):
    result = make_views(random_image(channels=channels), augment=policy, num_views=3)
    assert result.shape == (3, 24, 24, channels) and result.dtype == np.uint8


@pytest.mark.parametrize("policy", ["simclr", "crop_flip"])
def test_views_follow_from_the_seed(policy):
    image = random_image()
    result = make_views(image, augment=policy)
    np.testing.assert_array_equal(result, make_views(image, augment=policy))
    assert np.any(result != make_views(image, augment=policy, seed=(3, 5)))
    assert np.any(result != make_views(image, augment=policy, seed=(2, 4)))


@pytest.mark.parametrize("policy", ["simclr", "crop_flip"])
def test_the_views_of_an_image_differ(policy):
    result = make_views(random_image(), augment=policy, num_views=4)
    for v in range(4):
        assert all(np.any(result[v] != result[other]) for other in range(v))


def test_a_view_does_not_depend_on_how_many_there_are():
    image = random_image()
    np.testing.assert_array_equal(make_views(image, num_views=5)[:2], make_views(image, num_views=2))


def test_views_without_augmentation_are_the_evaluation_view():
    image = random_image()
    expected = evaluation_view(image, 24, 0.875)
    np.testing.assert_array_equal(make_views(image, augment="none"), [expected, expected])


@pytest.mark.parametrize("policy", POLICIES)
def test_views_are_the_same_in_a_dataset_of_images_of_unknown_size(policy):
    images = [random_image(40, 50), random_image(17, 90)]
    options = dataclasses.replace(AugmentOptions(), augment=policy)
    dataset = tf.data.Dataset.from_generator(
        lambda: iter(images), output_signature=tf.TensorSpec([None, None, 3], tf.uint8)
    ).map(lambda image: augmented_views(image, SEED, num_views=2, image_size=24, options=options, flip=True))
    assert dataset.element_spec == tf.TensorSpec([2, 24, 24, 3], tf.uint8)
    for image, result in zip(images, dataset.as_numpy_iterator()):
        np.testing.assert_array_equal(result, make_views(image, augment=policy))


def test_images_of_sixteen_bits_and_floats_are_scaled():
    image = random_image()
    expected = make_views(image)
    np.testing.assert_array_equal(make_views(image.astype(np.uint16) * 257), expected)
    np.testing.assert_array_equal(make_views((image / 255).astype(np.float32)), expected)


def test_numbers_are_rounded_to_nearest():
    image = tf.constant([[[0.0], [0.4 / 255], [0.6 / 255], [254.6 / 255], [1.0]]])
    np.testing.assert_array_equal(views.to_uint8(image)[0, :, 0], [0, 0, 1, 255, 255])
    np.testing.assert_array_equal(
        views.to_uint8(tf.constant([[[129], [128], [65535]]], tf.uint16))[0, :, 0], [1, 0, 255]
    )


def test_crop_flip_is_a_resized_crop_in_half_of_the_views_mirrored():
    image = random_image()
    result = make_views(image, augment="crop_flip", num_views=8)
    drawn = views.draw_parameters(tf.constant(image), SEED, 8, AugmentOptions(), flip=True)
    assert 0 < sum(bool(parameters.mirror) for parameters in drawn) < 8
    for view, parameters in zip(result, drawn):
        expected = np.rint(geometry.resized_crop(image, parameters.box, 24))
        np.testing.assert_array_equal(view, expected[:, ::-1] if parameters.mirror else expected)


def test_simclr_is_crop_mirror_jitter_grey_and_blur():
    image = random_image()
    drawn = views.draw_parameters(tf.constant(image), SEED, 16, AugmentOptions(), flip=True)
    for view, parameters in zip(make_views(image, num_views=16), drawn):
        expected = geometry.resized_crop(image, parameters.box, 24) / 255
        if parameters.mirror:
            expected = geometry.mirror(expected)
        if parameters.jitter:
            expected = colour.jitter(expected, parameters.jitter_amounts, parameters.jitter_order)
        if parameters.grey:
            expected = colour.grey(expected)
        if parameters.blur:
            expected = blur.gaussian_blur(expected, parameters.blur_sigma)
        np.testing.assert_allclose(view, 255 * expected, atol=0.501)


def test_each_operation_is_as_frequent_and_as_strong_as_the_options_say():
    drawn = parameters_of_many_views(
        jitter_strength=0.5, jitter_probability=0.7, grey_probability=0.3, blur_probability=0.1
    )
    for mean, expected in [(drawn.mirror, 0.5), (drawn.jitter, 0.7), (drawn.grey, 0.3), (drawn.blur, 0.1)]:
        assert np.mean(mean) == pytest.approx(expected, abs=0.03)
    for amount, low, high in zip(drawn.jitter_amounts.T, [0.6, 0.6, 0.6, -0.1], [1.4, 1.4, 1.4, 0.1]):
        assert np.min(amount) == pytest.approx(low, abs=0.005) and np.max(amount) == pytest.approx(high, abs=0.005)
    assert np.min(drawn.blur_sigma) == pytest.approx(0.1, abs=0.01)
    assert np.max(drawn.blur_sigma) == pytest.approx(2.0, abs=0.01)
    orders, counts = np.unique(drawn.jitter_order, axis=0, return_counts=True)
    assert len(orders) == 24 and np.all(np.sort(orders, axis=1) == np.arange(4))
    assert counts.min() > 0.6 * counts.max()


def test_what_chance_decides_is_independent():
    drawn = parameters_of_many_views()
    columns = np.column_stack(
        [drawn.mirror, drawn.jitter, drawn.grey, drawn.blur, drawn.blur_sigma, drawn.jitter_amounts, drawn.box[:, 2:]]
    ).astype(float)
    correlations = np.corrcoef(columns.T)
    side, other_side = columns.shape[1] - 2, columns.shape[1] - 1
    correlations[side, other_side] = correlations[other_side, side] = 0  # the two sides of a box go together
    assert np.abs(correlations - np.eye(len(correlations))).max() < 0.07


def test_probabilities_of_zero_and_one_are_exact():
    never = parameters_of_many_views(flip=False, jitter_probability=0.0, grey_probability=0.0, blur_probability=0.0)
    assert not np.any([never.mirror, never.jitter, never.grey, never.blur])
    always = parameters_of_many_views(jitter_probability=1.0, grey_probability=1.0, blur_probability=1.0)
    assert np.all([always.jitter, always.grey, always.blur])

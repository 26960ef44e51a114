"""Views of an image: policies, determinism, shapes and types."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.augment import (
    augmented_views,
    autoaugment,
    blur,
    colour,
    evaluation_view,
    geometry,
    randaugment,
    views,
)
from supcon_tf.config import POLICIES, AugmentOptions
from supcon_tf.errors import ArgumentError

SEED = (3, 4)
TABLES = ("autoaugment_cifar10", "autoaugment_imagenet")  # which differ from autoaugment in their tables


def slow(policies, dear):
    """Marks some of the policies as slow."""
    return [pytest.param(policy, marks=pytest.mark.slow if policy in dear else ()) for policy in policies]


def random_image(height=40, width=50, channels=3):
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def as_options(augment="simclr", **options):
    policies = (augment,) if isinstance(augment, str) else augment
    return dataclasses.replace(AugmentOptions(), augment=policies, **options)


def make_views(image, seed=SEED, num_views=2, image_size=24, flip=True, **options):
    result = augmented_views(
        image, seed, num_views=num_views, image_size=image_size, options=as_options(**options), flip=flip
    )
    return result.numpy()


def draw(image, num_views, policy, flip=True, **options):
    drawn = views.draw_parameters(tf.constant(image), SEED, [policy] * num_views, as_options(**options), flip)
    return views.ViewParameters(*(column.numpy() for column in drawn))


def by_view(drawn):
    parameters = [views.ViewParameters(*parts) for parts in zip(*drawn)]
    return [(parts, views.split_numbers(parts.pixelwise)) for parts in parameters]


def parameters_of_many_views(number=4000, flip=True, **options):
    drawn = draw(random_image(), number, "simclr", flip, **options)
    return drawn, views.split_numbers(drawn.pixelwise)


def test_the_policies_are_those_of_the_command_line():
    assert (*views.POLICIES, "none") == POLICIES


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("policy", slow(POLICIES, TABLES))
def test_views_have_their_shape_and_type(policy, channels):
    result = make_views(random_image(channels=channels), augment=policy, num_views=3)
    assert result.shape == (3, 24, 24, channels) and result.dtype == np.uint8


@pytest.mark.parametrize("policy", slow(views.POLICIES, (*TABLES, "stacked_randaugment")))
def test_views_follow_from_the_seed(policy):
    image = random_image()
    result = make_views(image, augment=policy)
    np.testing.assert_array_equal(result, make_views(image, augment=policy))
    assert np.any(result != make_views(image, augment=policy, seed=(3, 5)))
    assert np.any(result != make_views(image, augment=policy, seed=(2, 4)))


@pytest.mark.parametrize("policy", slow(views.POLICIES, TABLES))
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


@pytest.mark.parametrize("policy", [POLICIES[0], *(pytest.param(one, marks=pytest.mark.slow) for one in POLICIES[1:])])
def test_views_are_the_same_in_a_dataset_of_images_of_unknown_size(policy):
    images = [random_image(40, 50), random_image(17, 90)]
    options = as_options(policy)
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


def test_an_unknown_policy_is_refused():
    with pytest.raises(ArgumentError, match="augment='simcl': no such policy; did you mean simclr?"):
        make_views(random_image(), augment=("simcl",))


def test_each_view_may_have_a_policy_of_its_own():
    image = random_image()
    mixed = make_views(image, augment=("autoaugment", "none", "crop_flip"), num_views=3)
    for v, policy in enumerate(("autoaugment", "none", "crop_flip")):
        np.testing.assert_array_equal(mixed[v], make_views(image, augment=policy, num_views=3)[v])


# The steps of each policy, applied directly with the drawn numbers.
def jitter(view, numbers, _):
    if numbers.jitter:
        return colour.jitter(view, numbers.amounts, tf.cast(numbers.order, tf.int32))
    return view


def grey(view, numbers, _):
    return colour.grey(view) if numbers.grey else view


def blurred(view, numbers, _):
    return tf.cast(blur.gaussian_blur(view, numbers.sigma), tf.float32) if numbers.sigma else view


def automatic(policy):
    return lambda view, _, uniforms: autoaugment.autoaugment(tf.cast(tf.round(view), tf.uint8), uniforms, policy)


def random(view, _, uniforms):
    return tf.cast(randaugment.randaugment(tf.cast(tf.round(view), tf.uint8), uniforms, 2, 10), tf.float32)


BY_HAND = {
    "simclr": [jitter, grey, blurred],
    "autoaugment": [automatic("autoaugment")],
    "autoaugment_imagenet": [automatic("autoaugment_imagenet")],
    "autoaugment_cifar10": [automatic("autoaugment_cifar10")],
    "randaugment": [random],
    "stacked_randaugment": [jitter, random, grey, blurred],
    "crop_flip": [],
}


@pytest.mark.parametrize("policy", views.POLICIES)
def test_policy_is_its_steps_after_a_random_crop_and_half_of_the_views_are_mirrored(policy):
    image = random_image()
    drawn = by_view(draw(image, 12, policy))
    assert 0 < sum(bool(parameters.mirror) for parameters, _ in drawn) < 12
    unlike = 0
    for view, (parameters, numbers) in zip(make_views(image, num_views=12, augment=policy), drawn):
        expected = crop = geometry.resized_crop(image, parameters.box, 24)
        for step in BY_HAND[policy]:
            expected = step(expected, numbers, parameters.uniforms)
        expected = np.asarray(expected, np.float64)
        unlike += np.abs(expected - crop).max() > 5
        np.testing.assert_allclose(view, expected[:, ::-1] if parameters.mirror else expected, atol=0.501)
    assert policy == "crop_flip" or unlike > 6


def test_each_operation_is_as_frequent_and_as_strong_as_the_options_say():
    drawn, numbers = parameters_of_many_views(
        jitter_strength=0.5, jitter_probability=0.7, grey_probability=0.3, blur_probability=0.1
    )
    for mean, expected in [(drawn.mirror, 0.5), (numbers.jitter, 0.7), (numbers.grey, 0.3), (numbers.sigma > 0, 0.1)]:
        assert np.mean(mean) == pytest.approx(expected, abs=0.03)
    for amount, low, high in zip(numbers.amounts.T, [0.6, 0.6, 0.6, -0.1], [1.4, 1.4, 1.4, 0.1]):
        assert np.min(amount) == pytest.approx(low, abs=0.005) and np.max(amount) == pytest.approx(high, abs=0.005)
    orders, counts = np.unique(numbers.order, return_counts=True)
    assert list(orders) == list(range(24)) and counts.min() > 0.6 * counts.max()


def test_brightness_is_added_in_the_style_of_tensorflow():
    _, numbers = parameters_of_many_views(jitter_strength=0.5, jitter_style="tensorflow")
    for amount, low, high in zip(numbers.amounts.T, [-0.4, 0.6, 0.6, -0.1], [0.4, 1.4, 1.4, 0.1]):
        assert np.min(amount) == pytest.approx(low, abs=0.005) and np.max(amount) == pytest.approx(high, abs=0.005)


def test_blur_has_any_strength_between_a_tenth_of_a_pixel_and_two():
    _, numbers = parameters_of_many_views(blur_probability=1.0)
    assert np.min(numbers.sigma) == pytest.approx(0.1, abs=0.01)
    assert np.max(numbers.sigma) == pytest.approx(2.0, abs=0.01)
    assert np.mean(numbers.sigma) == pytest.approx(1.05, abs=0.03)


def test_what_chance_decides_is_independent():
    drawn, numbers = parameters_of_many_views(blur_probability=1.0)
    columns = np.column_stack(
        [drawn.mirror, numbers.jitter, numbers.order, numbers.grey, numbers.sigma, numbers.amounts, drawn.box[:, 2:]]
    ).astype(float)
    correlations = np.corrcoef(columns.T)
    side, other_side = columns.shape[1] - 2, columns.shape[1] - 1
    correlations[side, other_side] = correlations[other_side, side] = 0  # the two sides of a box go together
    assert np.abs(correlations - np.eye(len(correlations))).max() < 0.07


def test_what_autoaugment_decides_by_is_independent_of_the_rest():
    image = random_image()
    drawn = draw(image, 4000, "autoaugment")
    columns = np.concatenate([drawn.pixelwise, drawn.uniforms], axis=1)
    correlations = np.corrcoef(columns.T)[: views.NUMBERS, views.NUMBERS :]
    assert np.abs(correlations).max() < 0.07


def test_probabilities_of_zero_and_one_are_exact():
    drawn, never = parameters_of_many_views(
        flip=False, jitter_probability=0.0, grey_probability=0.0, blur_probability=0.0
    )
    assert not np.any([drawn.mirror, never.jitter, never.grey, never.sigma])
    _, always = parameters_of_many_views(jitter_probability=1.0, grey_probability=1.0, blur_probability=1.0)
    assert np.all([always.jitter, always.grey, always.sigma])


@pytest.mark.parametrize(
    ("policy", "on_device", "left"),
    [
        ("simclr", ("jitter", "grey", "blur"), ("jitter", "grey", "blur")),
        ("simclr", ("blur",), ("blur",)),
        ("simclr", ("jitter", "grey"), ()),  # the blur after them is the host's
        ("stacked_randaugment", ("jitter", "grey", "blur"), ("grey", "blur")),
        ("autoaugment", ("jitter", "grey", "blur"), ()),
        ("none", ("jitter", "grey", "blur"), ()),
    ],
)
def test_only_last_steps_are_left_to_the_device(policy, on_device, left):
    assert views.steps_left(policy, on_device) == left

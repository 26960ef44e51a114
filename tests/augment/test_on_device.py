"""The device's half of the augmentation, against the host's complete views."""

import dataclasses
import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.augment import augmented_views, finish, views
from supcon_tf.config import AugmentOptions

ALL = ("jitter", "grey", "blur")
IMAGES = 24


def smooth_image(seed, channels=3):
    """Returns an image like a photograph: neighbours are similar, and there are many colours."""
    rng = np.random.default_rng(seed)
    coarse = tf.constant(rng.uniform(0, 255, (6, 7, channels)), tf.float32)
    return tf.cast(tf.image.resize(coarse, (50, 60), method="bicubic"), tf.uint8)


@functools.cache
def batches(policies, style, on_device, channels):
    """Returns complete views of every image, and the parts of a batch that are sent to the device."""
    options = dataclasses.replace(AugmentOptions(), augment=policies, jitter_style=style)
    arguments = {"num_views": 2, "image_size": 24, "options": options, "flip": True}
    whole = functools.partial(augmented_views, **arguments)
    left = functools.partial(views.views_for_device, **arguments, device_steps=on_device)
    images = tf.data.Dataset.from_tensor_slices(tf.stack([smooth_image(seed, channels) for seed in range(IMAGES)]))
    dataset = images.enumerate().map(lambda i, image: (whole(image, tf.stack([1, i])), left(image, tf.stack([1, i]))))
    return next(iter(dataset.batch(IMAGES)))


def assert_nearly_equal(found, expected):
    """Asserts equality within a grey level in nearly all pixels; a step that multiplies also multiplies rounding."""
    apart = np.abs(np.int32(found) - np.int32(expected))
    assert np.mean(apart > 1) < 0.02 and apart.max() <= 6 and apart.mean() < 0.25


FAST = [(ALL, "torchvision", 3), (ALL, "tensorflow", 1), (ALL[-1:], "torchvision", 3)]
CASES = [
    pytest.param(
        *case, marks=() if case in FAST else pytest.mark.slow, id="{}-{}-{}".format("+".join(case[0]), *case[1:])
    )
    for case in itertools.product((ALL, ALL[-1:]), ("torchvision", "tensorflow"), (1, 3))
]


@pytest.mark.parametrize(("on_device", "style", "channels"), CASES)
def test_views_are_those_of_the_host(on_device, style, channels):
    expected, parts = batches(("simclr",), style, on_device, channels)
    sent, numbers = parts["views"], parts["numbers"]
    assert np.mean(np.any(sent != expected, axis=(2, 3, 4))) > 0.3
    assert_nearly_equal(finish(sent, numbers, steps=on_device, style=style), expected)


def test_views_of_several_policies_take_their_own_steps():
    expected, parts = batches(("stacked_randaugment", "crop_flip"), "torchvision", ALL, 3)
    sent, numbers = parts["views"], parts["numbers"]
    found = finish(sent, numbers, steps=("grey", "blur"), style="torchvision")
    assert_nearly_equal(found, expected)
    np.testing.assert_array_equal(found[:, 1], sent[:, 1])


def test_a_batch_in_parts_and_under_xla_is_the_same():
    parts = batches(("simclr",), "torchvision", ALL, 3)[1]
    sent, numbers = parts["views"], parts["numbers"]
    whole = finish(sent, numbers, steps=ALL, style="torchvision")
    np.testing.assert_array_equal(finish(sent, numbers, steps=ALL, style="torchvision", at_a_time=8), whole)
    compiled = tf.function(functools.partial(finish, steps=ALL, style="torchvision", at_a_time=8), jit_compile=True)
    assert np.abs(np.int32(compiled(sent, numbers)) - np.int32(whole)).max() <= 1


def test_one_view_without_its_axis():
    parts = batches(("simclr",), "torchvision", ALL, 3)[1]
    sent, numbers = parts["views"], parts["numbers"]
    whole = finish(sent, numbers, steps=ALL, style="torchvision")
    first = finish(sent[:, 0], numbers[:, 0], steps=ALL, style="torchvision")
    np.testing.assert_array_equal(first, whole[:, 0])


def test_nothing_is_sent_where_nothing_is_left():
    assert batches(("autoaugment",), "torchvision", ALL, 3)[1].keys() == {"views"}
    assert batches(("simclr",), "torchvision", ALL, 3)[1]["numbers"].shape[-1] == views.NUMBERS

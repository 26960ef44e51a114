"""Both halves of the augmentation together."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.augment import Augmentation, augmented_views, steps_for_device, views
from supcon_tf.config import AugmentOptions

IMAGES = 6
ALL = ("jitter", "grey", "blur")
IMAGE = tf.constant(np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8))


def make(mix="none", num_views=2, policies=("simclr",), **fields):
    options = dataclasses.replace(AugmentOptions(), augment=policies, mix=mix)
    return Augmentation(options, num_views, image_size=12, flip=True, **fields)


def batch_of(augmentation, labels):
    """Returns the batch that a pipeline makes with the host's half."""
    parts = [augmentation.on_host(IMAGE, tf.constant([1, index])) for index in range(len(labels))]
    batch = {name: tf.stack([part[name] for part in parts]) for name in parts[0]}
    return {**batch, "labels": tf.constant(labels)}


@pytest.mark.slow
def test_the_host_makes_complete_views_where_the_device_takes_no_step():
    augmentation = make()
    parts = augmentation.on_host(IMAGE, tf.constant([1, 7]))
    expected = augmented_views(
        IMAGE, tf.constant([1, 7]), num_views=2, image_size=12, options=augmentation.options, flip=True
    )
    assert parts.keys() == {"views"}
    np.testing.assert_array_equal(parts["views"], expected)


def test_the_device_takes_the_steps_that_are_left_and_drops_their_numbers():
    labels = [0, 1, 2, 0, 1, 2]
    batch = batch_of(make(device_steps=ALL), labels)
    assert batch["numbers"].shape == [IMAGES, 2, views.NUMBERS]
    whole, in_parts = (make(device_steps=ALL, microbatch_size=size).on_device(batch) for size in (None, 3))
    assert whole.keys() == {"views", "labels"}
    np.testing.assert_array_equal(whole["views"], in_parts["views"])
    np.testing.assert_array_equal(whole["labels"], labels)
    complete = batch_of(make(), labels)["views"]
    assert np.abs(np.int32(whole["views"]) - np.int32(complete)).mean() < 0.25
    assert np.any(batch["views"] != complete)


@pytest.mark.parametrize("num_views", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_mixing_makes_distributions_in_which_an_unlabelled_image_adds_nothing(num_views):
    augmentation = make("mixup", num_views, num_classes=3)
    made = augmentation.on_device(batch_of(augmentation, [0, 1, 2, 0, 1, -1]))
    assert made.keys() == {"views", "labels"} and made["views"].shape == [IMAGES, num_views, 12, 12, 3]
    sums = made["labels"].numpy().sum(axis=1)
    np.testing.assert_allclose(sums[1:5], 1.0, rtol=1e-6)
    assert 0.0 < sums[0] < 1.0 and 0.0 < sums[5] < 1.0  # each is mixed with the other, which only one has a label
    assert made["labels"].shape == [IMAGES, 3]


def test_a_complete_batch_is_unchanged_by_the_device():
    batch = {"views": tf.zeros([2, 1, 12, 12, 3], tf.uint8), "labels": tf.constant([0, 1])}
    made = make("cutmix", device_steps=ALL, num_classes=2).on_device(batch)
    assert made.keys() == batch.keys()
    for name, part in batch.items():
        np.testing.assert_array_equal(made[name], part)


@pytest.mark.parametrize(
    ("colours", "blur", "accelerated", "expected"),
    [
        ("auto", "auto", True, ALL),
        ("auto", "auto", False, ()),
        ("on", "off", False, ("jitter", "grey")),
        ("off", "on", True, ("blur",)),
        ("on", "auto", False, ALL),
        ("off", "auto", True, ()),
    ],
)
def test_steps_for_the_device_follow_the_options(colours, blur, accelerated, expected):
    options = AugmentOptions(augment_on_device=colours, blur_on_device=blur)
    assert steps_for_device(options, accelerated=accelerated) == expected

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.data import sampling
from supcon_tf.data.sampling import class_weights


def test_a_subset_keeps_each_class_share():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [600, 300, 100]))
    for count in (10, 50, 200, 1000):
        kept = labels[sampling.stratified_subset(labels, count)]
        np.testing.assert_allclose(np.bincount(kept), [0.6 * count, 0.3 * count, 0.1 * count], atol=1)


def test_a_subset_has_the_first_images_of_each_class_in_order():
    labels = np.array([1, 1, 0, 1, 0, 1, 0, 0, 1])
    kept = sampling.stratified_subset(labels, 4)
    np.testing.assert_array_equal(kept, [0, 1, 2, 4])


def test_each_class_has_an_image_where_that_is_possible():
    labels = np.repeat(np.arange(5), [1000, 1, 1, 1, 1])
    assert set(labels[sampling.stratified_subset(labels, 5)]) == {0, 1, 2, 3, 4}
    assert 0 in labels[sampling.stratified_subset(labels, 2)]


def test_a_smaller_subset_is_in_every_larger_one():
    labels = np.random.default_rng(1).geometric(0.2, size=300)
    subsets = [set(sampling.stratified_subset(labels, count)) for count in range(1, 301)]
    assert [len(subset) for subset in subsets] == list(range(1, 301))
    assert all(small < large for small, large in zip(subsets, subsets[1:]))


def test_a_count_above_the_number_of_examples_takes_all():
    np.testing.assert_array_equal(sampling.stratified_subset(np.array([0, 1, -1]), 9), [0, 1, 2])


def test_without_labels_a_subset_is_the_first_images():
    np.testing.assert_array_equal(sampling.stratified_subset(np.full(20, -1), 7), np.arange(7))


@pytest.mark.parametrize("balance", [0.0, 0.5, 0.99, 0.9999])
def test_weights_of_classes_are_those_of_the_effective_number(balance):
    sizes = np.array([1, 0, 7, 300])
    effective = np.array([sum(balance**power for power in range(n)) for n in sizes])  # 1 + β + … + βⁿ⁻¹, Eq. 2
    weights = class_weights(sizes, balance)
    there = sizes > 0
    np.testing.assert_allclose((weights * effective)[there], (weights * effective)[0], rtol=1e-5)
    assert weights[1] == 0 and np.sum(weights * sizes) == pytest.approx(sizes.sum(), rel=1e-6)


def test_label_noise_moves_the_share_of_labels_evenly_to_all_other_classes():
    shifts = sampling.label_shifts(40_000, 0.3, 5, seed=1)
    share = np.bincount(shifts, minlength=5) / 40_000
    np.testing.assert_allclose(share, [0.7, 0.075, 0.075, 0.075, 0.075], atol=0.006)
    assert set(sampling.label_shifts(1000, 1.0, 2, seed=1)) == {1}
    assert not sampling.label_shifts(1000, 0.0, 5, seed=1).any()


def test_label_noise_follows_from_seed_and_example_alone():
    shifts = sampling.label_shifts(1000, 0.5, 7, seed=1)
    np.testing.assert_array_equal(sampling.label_shifts(10, 0.5, 7, seed=1), shifts[:10])
    assert np.any(sampling.label_shifts(1000, 0.5, 7, seed=2) != shifts)


SIZES = np.array([3, 40, 25, 8, 30, 12, 19])
MEMBERS = np.random.default_rng(2).permutation(1000)[: SIZES.sum()]
CLASS_OF = dict(zip(MEMBERS, np.repeat(np.arange(7), SIZES)))


def balanced(steps=30, classes_per_batch=3, per_class=4, seed=5):
    images = sampling.balanced_epoch(
        MEMBERS,
        SIZES,
        steps=steps,
        classes_per_batch=classes_per_batch,
        per_class=per_class,
        seed=tf.constant(seed, tf.int64),
    )
    return images.numpy().reshape([steps, classes_per_batch * per_class])


@pytest.mark.parametrize("classes_per_batch, per_class", [(3, 4), (7, 2), (5, 1), (1, 8), (2, 3)])
def test_balanced_batches_have_the_same_number_of_images_of_each_class(classes_per_batch, per_class):
    for batch in balanced(classes_per_batch=classes_per_batch, per_class=per_class):
        classes, counts = np.unique([CLASS_OF[image] for image in batch], return_counts=True)
        assert len(classes) == classes_per_batch and set(counts) == {per_class}
        for number in classes:
            images = [image for image in batch if CLASS_OF[image] == number]
            assert len(set(images)) == min(per_class, SIZES[number])


def test_a_class_is_used_up_before_its_images_come_again():
    # 30 batches of 12 images use about 50 images of each class.
    counts = {image: 0 for image in MEMBERS}
    for batch in balanced():
        for image in batch:
            counts[image] += 1
        for number in range(7):
            times = [counts[image] for image in MEMBERS if CLASS_OF[image] == number]
            assert max(times) - min(times) <= 1 + 4 // SIZES[number]


def test_all_classes_come_up_about_as_often_and_in_changing_company():
    batches = [frozenset(CLASS_OF[image] for image in batch) for batch in balanced(steps=200)]
    times = np.bincount([number for batch in batches for number in batch])
    np.testing.assert_allclose(times, 200 * 3 / 7, rtol=0.2)
    assert len(set(batches)) == 35  # of 7 classes by threes


def test_places_in_a_balanced_batch_are_random():
    first_half = [sum(CLASS_OF[image] == 1 for image in batch[:6]) for batch in balanced(steps=200)]
    assert set(first_half) >= {0, 1, 2, 3}


def test_balanced_epochs_follow_from_their_seed():
    np.testing.assert_array_equal(balanced(), balanced())
    assert np.any(balanced(seed=6) != balanced())


@pytest.mark.parametrize("batch_size, unlabelled", [(8, 4), (12, 2), (12, 10), (256, 77), (3, 1), (5, 0)])
def test_places_of_unlabelled_images_are_spread_evenly(batch_size, unlabelled):
    places = sampling.is_unlabelled(batch_size, unlabelled)
    assert places.shape == (batch_size,) and places.sum() == unlabelled
    for parts in (1, 2, 4):
        if batch_size % parts == 0 and unlabelled % parts == 0:
            np.testing.assert_array_equal(places.reshape([parts, -1]).sum(axis=1), unlabelled // parts)

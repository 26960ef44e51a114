"""Checks that the forms in which Keras gives data to a step become the one shape of a batch."""

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.batch import (
    checked_distributions,
    class_indices,
    likeliest_classes,
    to_batch,
    with_weights,
    without_labels,
)

IMAGES = tf.reshape(tf.range(3 * 4 * 4), [3, 4, 4, 1])
LABELS = tf.constant([2, -1, 0])


def test_images_become_one_view_and_views_stay():
    assert to_batch((IMAGES, LABELS), distributions=False)["views"].shape == [3, 1, 4, 4, 1]
    views = tf.stack([IMAGES, IMAGES], axis=1)
    np.testing.assert_array_equal(to_batch((views, LABELS), distributions=False)["views"], views)


@pytest.mark.parametrize("shape", [[3], [3, 1]])
def test_weights_are_one_for_each_image(shape):
    batch = to_batch((IMAGES, LABELS, tf.ones(shape, tf.int32)), distributions=False)
    assert batch["weights"].shape == [3] and batch["weights"].dtype == tf.float32
    assert "weights" not in to_batch((IMAGES, LABELS), distributions=False)


@pytest.mark.parametrize("distributions", [False, True])
@pytest.mark.parametrize(
    "given", [LABELS, LABELS[:, tf.newaxis], tf.cast(LABELS, tf.float64), tf.cast(LABELS, tf.int64)]
)
def test_class_numbers_are_whole_numbers_one_for_each_image(given, distributions):
    labels = to_batch((IMAGES, given), distributions=distributions)["labels"]
    assert labels.shape == [3] and labels.dtype.is_integer
    np.testing.assert_array_equal(labels, LABELS)


def test_one_hot_labels_become_class_numbers_unless_distributions_are_taken():
    given = tf.one_hot(LABELS, 3)
    np.testing.assert_array_equal(to_batch((IMAGES, given), distributions=False)["labels"], LABELS)
    np.testing.assert_array_equal(to_batch((IMAGES, given), distributions=True)["labels"], given)


def test_labels_of_64_bits_stay_exact():
    labels = to_batch((IMAGES, tf.constant([2**33, -1, 5], tf.int64)), distributions=False)["labels"]
    assert labels.numpy().tolist() == [2**33, -1, 5]


def test_a_batch_of_the_pipeline_keeps_all_its_parts():
    batch = {"views": IMAGES[:, tf.newaxis], "labels": LABELS, "weights": tf.ones([3]), "numbers": tf.zeros([3, 1, 8])}
    made = to_batch(batch, distributions=False)
    assert made.keys() == batch.keys()
    for name, part in batch.items():
        assert made[name].dtype == part.dtype
        np.testing.assert_array_equal(made[name], part)


@pytest.mark.parametrize("distributions", [False, True])
@pytest.mark.parametrize("weights", [None, tf.ones([3, 1], tf.int32)])
@pytest.mark.parametrize("labels", [LABELS[:, tf.newaxis], tf.one_hot(LABELS, 3), tf.cast(LABELS, tf.int8)])
def test_a_dict_becomes_the_batch_that_a_tuple_becomes(labels, weights, distributions):
    expected = to_batch((IMAGES, labels, weights), distributions=distributions)
    given = {"views": IMAGES, "labels": labels, **({} if weights is None else {"weights": weights})}
    for data in (given, (given,)):  # Keras wraps what is no data set in a tuple
        made = to_batch(data, distributions=distributions)
        assert made.keys() == expected.keys()
        for name, part in expected.items():
            assert made[name].dtype == part.dtype
            np.testing.assert_array_equal(made[name], part)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [((IMAGES,), "y=None: must hold a label"), ((IMAGES[0], LABELS), "x: must be views or images, .*, not of shape")],
)
def test_what_is_no_batch_is_refused(data, complaint):
    with pytest.raises(ValueError, match=complaint):
        to_batch(data, distributions=False)


@pytest.mark.parametrize("weights", [None, [0.5, 3.0, 0.25]])
def test_unlabelled_images_have_no_weight(weights):
    batch = {"labels": LABELS} if weights is None else {"labels": LABELS, "weights": tf.constant(weights)}
    made = with_weights(batch)
    np.testing.assert_array_equal(made["labels"], [2, 0, 0])
    np.testing.assert_array_equal(made["weights"], [1, 0, 1] if weights is None else [0.5, 0, 0.25])


def test_unknown_classes_of_an_image_have_no_weight():
    made = with_weights({"labels": tf.constant([[1, -1], [0, 1]])})
    np.testing.assert_array_equal(made["labels"], [[1, 0], [0, 1]])
    np.testing.assert_array_equal(made["weights"], [[1, 0], [1, 1]])


def test_without_labels_no_image_has_a_class_or_a_weight():
    made = without_labels({"views": IMAGES, "labels": tf.ones([3, 4], tf.int32), "weights": tf.ones([3, 4])})
    assert made.keys() == {"views", "labels"}
    np.testing.assert_array_equal(made["labels"], [-1, -1, -1])


@pytest.mark.parametrize("given", [LABELS, LABELS[:, tf.newaxis], 0.6 * tf.one_hot(LABELS, 3) + 0.0])
def test_likeliest_class_of_every_form(given):
    np.testing.assert_array_equal(likeliest_classes(given), LABELS)


BELOW = tf.constant([-3, 2, -1])
LABEL_DOORS = {
    "class_indices": lambda labels: class_indices(labels, 3),
    "likeliest_classes": likeliest_classes,
    "to_batch": lambda labels: to_batch((IMAGES, labels), distributions=False),
    "to_batch of a dict": lambda labels: to_batch({"views": IMAGES, "labels": labels}, distributions=False),
    "to_batch with distributions": lambda labels: to_batch((IMAGES, labels), distributions=True),
}


@pytest.mark.parametrize("dtype", [tf.int8, tf.int32, tf.int64, tf.float32, tf.float64])
@pytest.mark.parametrize("door", LABEL_DOORS)
def test_labels_below_minus_one_are_refused(door, dtype):
    with pytest.raises(tf.errors.InvalidArgumentError, match="labels must not be below -1"):
        LABEL_DOORS[door](tf.cast(BELOW, dtype))
    LABEL_DOORS[door](tf.cast(tf.maximum(BELOW, -1), dtype))


@pytest.mark.parametrize("labels", [BELOW, tf.constant([[1, -2], [0, 1]])])
def test_weights_are_given_to_no_label_below_minus_one(labels):
    with pytest.raises(tf.errors.InvalidArgumentError, match="labels must not be below -1"):
        with_weights({"labels": labels})


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
@pytest.mark.parametrize("door", LABEL_DOORS)
def test_class_numbers_in_half_precision_are_refused(door, dtype):
    with pytest.raises(ValueError, match=rf"labels: must not be {dtype.name}: it merges classes; give integers"):
        LABEL_DOORS[door](tf.constant([256, 257, 258], dtype))


@pytest.mark.parametrize("dtype", [tf.float64, tf.uint32, tf.uint64, tf.int64])
def test_large_class_numbers_of_every_type_stay_apart(dtype):
    large = np.array([2**31, 2**31 + 2**10, 2**32 - 2**10])
    np.testing.assert_array_equal(class_indices(tf.constant(large, dtype), 3), large)


ROWS = {
    "a row of -1": [-1.0, -1.0, -1.0],
    "a single -1": [0.0, -1.0, 0.0],
    "negative and positive": [-1.0, 1.0, 0.0],
    "two whole classes": [1.0, 1.0, 0.0],
    "NaN": [np.nan, 0.0, 0.0],
}


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("door", [class_indices, likeliest_classes, checked_distributions])
def test_rows_that_are_no_distribution_are_refused(door, row):
    labels = tf.constant([ROWS[row], [0.0, 1.0, 0.0]])
    with pytest.raises(tf.errors.InvalidArgumentError, match="must be (one-hot|distributions)"):
        door(labels, 2) if door is class_indices else door(labels)


@pytest.mark.parametrize("entry", [5, 0.5, 255])
def test_a_row_with_one_number_that_is_not_1_is_not_one_hot(entry):
    with pytest.raises(tf.errors.InvalidArgumentError, match="must be one-hot: an image has one class"):
        class_indices(tf.constant([[0, entry], [1, 0]]), 2)


def test_rows_of_zeros_are_unlabelled_and_half_precision_may_round():
    assert likeliest_classes(tf.constant([[0.0, 0.0], [0.3, 0.7]])).numpy().tolist() == [-1, 1]
    rounded = tf.cast(tf.fill([2, 1000], 1 / 1000), tf.bfloat16)
    assert checked_distributions(rounded).dtype == tf.bfloat16


LARGE = {
    63: tf.constant([2**63, 0, 1], tf.uint64),
    24: tf.constant([2**24, 0, 1], tf.float32),  # equals float32 of 2²⁴ + 1
    53: tf.constant([2**53, 0, 1], tf.float64),
}


@pytest.mark.parametrize("door", LABEL_DOORS)
@pytest.mark.parametrize("bits", LARGE)
def test_labels_that_are_not_exact_are_refused_for_that_reason(door, bits):
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"must be finite and below 2\^{bits}"):
        LABEL_DOORS[door](LARGE[bits])


@pytest.mark.parametrize("door", LABEL_DOORS)
def test_infinite_labels_are_refused(door):
    with pytest.raises(tf.errors.InvalidArgumentError, match="must be finite"):
        LABEL_DOORS[door](tf.constant([np.inf, 0, 1]))

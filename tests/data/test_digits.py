import collections

import numpy as np
import pytest
from sklearn import datasets

from supcon_tf.data.digits import Digits, stratified_order


@pytest.fixture(scope="module")
def splits(digits_dir):
    """Name of a split -> list of (pixels as bytes, label)."""
    builder = Digits(data_dir=digits_dir)
    return {
        name: [
            (example["image"].tobytes(), int(example["label"]))
            for example in builder.as_dataset(split=name).as_numpy_iterator()
        ]
        for name in builder.info.splits
    }


@pytest.fixture(scope="module")
def original():
    digits = datasets.load_digits()
    return np.floor(digits.data * 255 / 16 + 0.5).astype(np.uint8), digits.target


def test_splits_have_the_promised_sizes(splits):
    assert {name: len(examples) for name, examples in splits.items()} == {"train": 1197, "validation": 200, "test": 400}


def test_splits_hold_each_image_of_scikit_learn_once_with_its_label(splits, original):
    prepared = collections.Counter(example for examples in splits.values() for example in examples)
    assert prepared == collections.Counter((image.tobytes(), int(label)) for image, label in zip(*original))
    assert set(prepared.values()) == {1}


def test_classes_are_in_proportion_in_every_split(splits, original):
    shares = np.bincount(original[1]) / len(original[1])
    for examples in splits.values():
        counts = np.bincount([label for _, label in examples], minlength=10)
        np.testing.assert_allclose(counts, shares * len(examples), atol=1)


def test_the_order_of_the_source_does_not_matter(original):
    images, labels = original
    shuffle = np.random.default_rng(0).permutation(len(images))
    one, other = stratified_order(images, labels), stratified_order(images[shuffle], labels[shuffle])
    np.testing.assert_array_equal(images[one], images[shuffle][other])


def test_features_name_ten_classes_of_small_grey_images(digits_dir):
    features = Digits(data_dir=digits_dir).info.features
    assert features["image"].shape == (8, 8, 1)
    assert features["label"].names == list("0123456789")

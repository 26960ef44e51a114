"""Mixup and CutMix, against NumPy."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from supcon_tf.augment import draw_numbers, mix
from supcon_tf.errors import ArgumentError

BATCH, VIEWS, SIDE, CLASSES = 6, 2, 10, 4


def make_batch(views=VIEWS):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (BATCH, views, SIDE, SIDE, 3), dtype=np.uint8)
    return images, np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, BATCH)]


def numbers(share, row=0.5, column=0.5):
    return np.tile(np.array([share, row, column], np.float32), [BATCH, 1])


@pytest.mark.parametrize("views", [1, VIEWS])
def test_mixup_blends_images_and_labels_by_each_ones_share(views):
    images, labels = make_batch(views)
    drawn = numbers(0.0)
    drawn[:, 0] = [0, 0.2, 0.5, 0.7, 0.9, 1]
    mixed, distributions = mix(images, labels, drawn, "mixup")
    assert mixed.dtype == tf.uint8
    for i, share in enumerate(drawn[:, 0]):
        partner = BATCH - 1 - i
        expected = share * images[i] + (1 - share) * np.float64(images[partner])
        np.testing.assert_allclose(mixed[i], expected, atol=0.5001)
        np.testing.assert_allclose(distributions[i], share * labels[i] + (1 - share) * labels[partner], atol=1e-6)


@pytest.mark.parametrize(
    ("share", "row", "column", "box"),
    [
        (0.75, 0.5, 0.5, (2, 7, 2, 7)),  # a square of a quarter of the area, about the middle
        (0.75, 0.0, 1.0, (0, 2, 7, 10)),  # cut off in a corner
        (0.0, 0.5, 0.5, (0, 10, 0, 10)),
        (1.0, 0.33, 0.71, (0, 0, 0, 0)),
    ],
)
def test_cutmix_takes_a_box_from_the_partner_and_labels_follow_its_area(share, row, column, box):
    images, labels = make_batch()
    mixed, distributions = mix(images, labels, numbers(share, row, column), "cutmix")
    expected = images.copy()
    top, bottom, left, right = box
    expected[:, :, top:bottom, left:right] = images[::-1, :, top:bottom, left:right]
    np.testing.assert_array_equal(mixed, expected)
    taken = (bottom - top) * (right - left) / SIDE**2
    np.testing.assert_allclose(distributions, (1 - taken) * labels + taken * labels[::-1], atol=1e-6)


def test_an_unlabelled_partner_adds_nothing_to_the_label():
    images, labels = make_batch()
    labels[-1] = 0
    _, distributions = mix(images, labels, numbers(0.75), "mixup")
    np.testing.assert_allclose(distributions[0], 0.75 * labels[0], atol=1e-6)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_shares_are_of_the_beta_distribution_and_places_uniform(alpha):
    seeds = tf.data.Dataset.range(2000).map(lambda i: draw_numbers(tf.stack([tf.constant(7, tf.int64), i]), alpha))
    share, row, column = next(iter(seeds.batch(2000))).numpy().T
    assert scipy.stats.kstest(share, scipy.stats.beta(alpha, alpha).cdf).pvalue > 1e-3
    for place in (row, column):
        assert scipy.stats.kstest(place, "uniform").pvalue > 1e-3
    assert np.abs(np.corrcoef([share, row, column]) - np.eye(3)).max() < 0.08


def test_an_unknown_kind_is_refused():
    with pytest.raises(ArgumentError, match="kind='mix': must be one of mixup, cutmix"):
        mix(*make_batch(), numbers(0.5), "mix")


def test_xla_mixes_alike():
    images, labels = make_batch()
    drawn = np.random.default_rng(1).random((BATCH, 3)).astype(np.float32)
    for kind in ("mixup", "cutmix"):
        expected = mix(images, labels, drawn, kind)
        found = tf.function(lambda *batch, kind=kind: mix(*batch, kind), jit_compile=True)(images, labels, drawn)
        assert np.abs(np.int32(found[0]) - np.int32(expected[0])).max() <= 1
        np.testing.assert_allclose(found[1], expected[1], atol=1e-6)

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf import config
from supcon_tf.data import load, pipeline
from supcon_tf.errors import UserError


@pytest.fixture
def digits(digits_dir):
    return load.load(config.DataOptions(dataset="digits", data_dir=digits_dir), labels=True)


def image_and_seed(image, seed):
    """A 'view' that shows which image it is of and which seed it was given: 64 pixels and 2 numbers."""
    pixels = tf.reshape(tf.cast(image, tf.int64), [64])
    return tf.ensure_shape(tf.concat([pixels, tf.cast(seed, tf.int64)], axis=0), [66])


def batches(digits, epochs, **options):
    options = {"seed": 3, **options}
    return [
        (views.numpy(), labels.numpy())
        for views, labels in pipeline.training_batches(digits, image_and_seed, epochs, **options)
    ]


EPOCHS = pipeline.Epochs(batch_size=256, steps_per_epoch=4, epochs=2)


def test_each_epoch_shows_each_image_at_most_once_in_an_order_of_its_own(digits):
    seen = batches(digits, EPOCHS)
    assert len(seen) == 8
    first, second = (np.concatenate([views for views, _ in seen[e : e + 4]]) for e in (0, 4))
    for epoch in (first, second):
        assert len(np.unique(epoch[:, 65])) == 1024  # the last number of a seed is the example
    assert np.any(first[:, 65] != second[:, 65])
    assert np.all(first[:, 64] != second[0, 64])  # the first one changes with the epoch


def test_labels_stay_with_their_images(digits):
    as_stored = {}
    for features in digits.builder.as_dataset(split="train").as_numpy_iterator():
        as_stored.setdefault(features["image"].tobytes(), features["label"])
    for views, labels in batches(digits, EPOCHS)[:2]:
        for view, label in zip(views, labels):
            assert as_stored[view[:64].astype(np.uint8).tobytes()] == label


@pytest.mark.parametrize("start", [1, 4, 6])
def test_a_run_that_starts_in_the_middle_sees_what_an_undisturbed_one_sees_there(digits, start):
    whole = batches(digits, EPOCHS)
    rest = batches(digits, EPOCHS, start_step=start)
    assert len(rest) == len(whole) - start
    for (views, labels), (expected_views, expected_labels) in zip(rest, whole[start:]):
        np.testing.assert_array_equal(views, expected_views)
        np.testing.assert_array_equal(labels, expected_labels)


def test_seeds_differ_in_order_and_in_randomness(digits):
    one, other = batches(digits, EPOCHS)[0][0], batches(digits, EPOCHS, seed=4)[0][0]
    assert np.any(one[:, 65] != other[:, 65])
    assert one[0, 64] != other[0, 64]


@pytest.mark.parametrize("pipelines, replicas", [(2, 2), (2, 4)])
def test_workers_share_the_images_of_each_step_of_one_worker(digits, pipelines, replicas):
    alone = batches(digits, EPOCHS)
    shares = [
        batches(digits, EPOCHS, context=tf.distribute.InputContext(pipelines, index, replicas))
        for index in range(pipelines)
    ]
    per_step = replicas // pipelines
    for step, (views, _) in enumerate(alone):
        together = [share[step * per_step + i][0] for share in shares for i in range(per_step)]
        assert all(len(part) == 256 // replicas for part in together)
        np.testing.assert_array_equal(np.concatenate(together), views)


@pytest.mark.parametrize("pipelines", [1, 2, 3])
def test_of_data_too_large_for_memory_each_worker_reads_its_own_part(digits, pipelines, monkeypatch):
    monkeypatch.setattr(pipeline, "CACHE_BYTES", 0)
    epochs = pipeline.Epochs(batch_size=240, steps_per_epoch=4, epochs=2)
    index_of = {}
    for index, features in enumerate(digits.builder.as_dataset(split="train").as_numpy_iterator()):
        index_of.setdefault(features["image"].tobytes(), set()).add(index)
    parts = []
    for worker in range(pipelines):
        context = tf.distribute.InputContext(pipelines, worker, pipelines)
        seen = batches(digits, epochs, context=context)
        assert len(seen) == 8 and all(len(views) == 240 // pipelines for views, _ in seen)
        for views, _ in seen:  # an image's randomness follows from its place in the whole split
            assert all(view[65] in index_of[view[:64].astype(np.uint8).tobytes()] for view in views)
        by_epoch = [np.concatenate([views[:, 65] for views, _ in seen[e : e + 4]]) for e in (0, 4)]
        assert all(len(set(epoch)) == 960 // pipelines for epoch in by_epoch)
        assert list(by_epoch[0]) != list(by_epoch[1])
        parts.append({*by_epoch[0], *by_epoch[1]})
        rest = batches(digits, epochs, context=context, start_step=5)
        for (views, _), (expected, _) in zip(rest, seen[5:]):
            np.testing.assert_array_equal(views, expected)
        assert len(rest) == 3
    assert sum(map(len, parts)) == len(set.union(*parts))


def view(image):
    return tf.ensure_shape(image, [8, 8, 1])


@pytest.mark.parametrize("batch_size, pipelines", [(256, 1), (7, 1), (400, 2), (64, 2)])
def test_evaluation_counts_each_image_once(digits, batch_size, pipelines):
    stored = [features["image"].tobytes() for features in digits.builder.as_dataset(split="test").as_numpy_iterator()]
    counted = []
    for index in range(pipelines):
        context = tf.distribute.InputContext(pipelines, index, pipelines)
        dataset = pipeline.evaluation_batches(digits, "test", view, batch_size, context)
        assert len(list(dataset)) == pipeline.evaluation_steps(digits, "test", batch_size)
        for images, _, weights in dataset.as_numpy_iterator():
            assert len(images) == batch_size // pipelines
            counted += [image.tobytes() for image, weight in zip(images, weights) if weight == 1]
    assert sorted(counted) == sorted(stored)


def test_unlabelled_images_have_no_weight():
    _, labels, weights = pipeline.with_weights(tf.zeros([3, 1]), tf.constant([2, -1, 0]))
    np.testing.assert_array_equal(labels, [2, 0, 0])
    np.testing.assert_array_equal(weights, [1, 0, 1])


def test_batch_larger_than_the_data_is_refused(digits):
    with pytest.raises(UserError, match="--batch_size=2000: larger than the 1197 training images; give 1197 or less"):
        pipeline.plan_epochs(digits, 2000, 1, 1, "batch_size")


def test_batch_that_replicas_cannot_share_equally_is_refused(digits):
    with pytest.raises(UserError, match="--batch_size=10: must divide by the 4 replicas; the nearest is 8"):
        pipeline.plan_epochs(digits, 10, 1, 4, "batch_size")


def test_an_epoch_is_the_whole_batches_of_a_pass(digits):
    assert pipeline.plan_epochs(digits, 256, 3, 2, "batch_size") == pipeline.Epochs(256, 4, 3)

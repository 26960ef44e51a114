"""Images that cannot be decoded stop a run, or are skipped with `on_bad_image="skip"`."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf import config as config_lib
from supcon_tf.data import decoding, pipeline
from supcon_tf.data.steps import StepSchedule
from supcon_tf.data.training_images import TrainingImages
from supcon_tf.errors import ArgumentError
from supcon_tf.run.batches import bad_images_named
from tests.data import numbered

BROKEN = (17, 60)
EPOCHS = StepSchedule(batch_size=25, images=100, epochs=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return numbered.prepare(tmp_path_factory.mktemp("flawed"), broken=BROKEN)


@pytest.fixture(scope="module")
def broken_places(data):
    return {place for place, number in enumerate(numbered.stored_numbers(data)) if number == -1}


def place_and_pixels(image, seed):
    image = tf.ensure_shape(image, [8, 8, 1])
    return {"views": tf.concat([seed[1:], tf.cast(tf.reshape(image, [64])[1:2], tf.int64)], axis=0)}


def batches(data, bad_images, **options):
    images = TrainingImages(data, bad_images=bad_images)
    return [
        (batch["views"].numpy(), batch["labels"].numpy())
        for batch in pipeline.training_batches(images, place_and_pixels, EPOCHS, seed=1, **options)
    ]


def test_a_skipped_image_is_grey_and_unlabelled_and_the_others_keep_their_places(data, broken_places):
    seen = batches(data, decoding.BadImages())
    assert len(seen) == 8 and all(len(views) == 25 for views, _ in seen)
    stored = numbered.stored_numbers(data)
    for views, labels in seen:
        for (place, pixel), label in zip(views, labels):
            assert (pixel, label) == ((128, -1) if place in broken_places else (stored[place], stored[place] % 5))
    assert {place for views, labels in seen[:4] for (place, _), label in zip(views, labels) if label < 0} == (
        broken_places
    )
    for (views, labels), (expected_views, expected_labels) in zip(
        batches(data, decoding.BadImages(), start_step=3), seen[3:]
    ):
        np.testing.assert_array_equal(views, expected_views)
        np.testing.assert_array_equal(labels, expected_labels)


def test_a_skipped_image_is_named_once_and_counted(data, broken_places, capfd):
    bad_images = decoding.BadImages()
    batches(data, bad_images)
    assert len(bad_images) == 2
    bad_images.report()
    lines = capfd.readouterr().err.splitlines()
    named = {f"Skipped example {place} of 'train' of numbered/1.0.0: it cannot be decoded" for place in broken_places}
    assert set(lines[:-1]) == named and len(lines) == 3
    assert lines[-1] == "Images that cannot be decoded, skipped: 2"


def test_nothing_is_said_where_nothing_is_bad(capfd):
    decoding.BadImages().report()
    assert capfd.readouterr().err == ""


def test_evaluation_gives_a_skipped_image_no_weight(data):
    bad_images = decoding.BadImages()
    dataset = pipeline.evaluation_batches(
        data, "train", lambda image: tf.ensure_shape(image, [8, 8, 1]), 32, bad_images=bad_images
    )
    counted = [
        numbered.number_of(image)
        for batch in dataset.as_numpy_iterator()
        for (image,), weight in zip(batch["views"], batch["weights"])
        if weight
    ]
    assert sorted(counted) == [number for number in range(100) if number not in BROKEN]
    assert len(bad_images) == 2


def test_the_decoders_error_is_known_and_the_image_is_found(data, broken_places):
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        batches(data, None)
    assert decoding.is_about_decoding(error.value)
    assert not decoding.is_about_decoding(tf.errors.InvalidArgumentError(None, None, "shapes do not match"))
    index, file = decoding.find_bad_image(data, "train")
    assert index in broken_places and file in [f"{number}.png" for number in BROKEN]
    good = next(f"train[{start}:{start + 9}]" for start in range(90) if not broken_places & {*range(start, start + 9)})
    assert decoding.find_bad_image(data, good) is None


def test_stop_names_data_set_split_and_example_in_one_line(data, broken_places):
    options = config_lib.DataOptions(dataset="numbered")
    with pytest.raises(ArgumentError) as error, bad_images_named(options, data, None):
        batches(data, None)
    message = error.value.text(config_lib.as_flag)
    assert any(f"--dataset=numbered: example {place} of 'train' (" in message for place in broken_places)
    assert any(f" ({number}.png) cannot be decoded; " in message for number in BROKEN)
    assert "--on_bad_image=skip" in message and "\n" not in message


@pytest.mark.parametrize("own, wanted", [(1, 3), (3, 1), (1, 1), (3, None)])
def test_channels_are_converted(data, own, wanted):
    pixels = np.random.default_rng(0).integers(0, 256, [8, 8, own], np.uint8)
    data = dataclasses.replace(data, image_shape=(8, 8, own), builder=FakeBuilder(own))
    image = decoding.decode(data, tf.io.encode_png(pixels), wanted).numpy()
    if own == wanted or wanted is None:
        expected = pixels
    elif wanted == 3:
        expected = np.repeat(pixels, 3, axis=2)
    else:
        expected = pixels @ np.array([[0.299], [0.587], [0.114]])
    np.testing.assert_allclose(image, expected, atol=1)


def test_of_an_image_with_several_classes_none_is_known_if_it_cannot_be_decoded(data):
    label = tf.constant([1, 0, -1])
    for content, expected in ((numbered.NOT_AN_IMAGE, [-1, -1, -1]), (None, [1, 0, -1])):
        encoded = tf.io.encode_png(tf.zeros([8, 8, 1], tf.uint8)) if content is None else tf.constant(content)
        found = decoding.decode_or_skip(
            data, encoded, label, bad_images=decoding.BadImages(), split="train", index=tf.constant(0)
        )[1]
        np.testing.assert_array_equal(found, expected)


class FakeBuilder:
    """Says of what kind its images are."""

    def __init__(self, channels):
        image = numbered.tfds.features.Image(shape=(8, 8, channels))
        self.info = type("Info", (), {"features": {"image": image}})
